from __future__ import annotations

import pytest
import re2

from offramp.redact.chain import RULES, Chain
from offramp.redact.keyed import Keyed

KEYED = Keyed(b"k" * 32)
SAMPLES = [
    "password=hunter2!",
    "my password is hunter2!",
    "<password>hunter2!</password>",
    "mail a@b.co",
    "DE89370400440532013000",
    "4111 1111 1111 1111",
    "378282246310005",
    "460-89-9847",
    "ssn 460899847",
    "8.8.8.8",
    "2001:4860:4860::8888",
    "415-555-2671",
    "+442079460958",
    "call me on 467 3395",
    "phone 9498777106",
    "https://u:p4ss@h.com",
    "x?sig=0123456789abcdef",
    "sk-" + "a1" * 12,
    "Bearer " + "a1" * 12,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "aws wJalrXUtnFEMIK7MDENGbPxRfiCYabcdefghijkl",
    "aB1" * 100,
    "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END",
    "key-" + "a1" * 16,
    "0123456789abcdef0123456789abcdef-us11",
    "$2y$12$s.YfVZdfvAuO/Iz6fte5iO..ZbbEgreZnDcYOGvX4NGJskYQIstcG",
    'password "hunter two"',
    "born on 7/14/1995",
    "passport number X1234567",
    "NI number AB 12 34 56 C",
    "NHS 943 476 5919",
    "1 85 05 78 006 084 91",
    "RSSMRA85T10A562S",
    "12345678Z",
    "X1234567L",
    "Steuer-ID 86095742719",
    "PESEL 44051401359",
    "BSN 111222333",
    "529.982.247-25",
    "CPF 52998224725",
    "Aadhaar 2341 2341 2346",
    "756.9217.0769.85",
    "SIN 130 692 544",
    "https://hooks.slack.com/services/T00AAAA/B00BBBB/XXXXyyyy1234",
]


@pytest.mark.parametrize("text", SAMPLES)
def test_every_hint_occurs_where_its_rule_finds_something(text: str) -> None:
    raw = text.encode()
    finding = [
        rule for rule in RULES if any(rule.surrogate(found, KEYED) for *_, found in rule.find(raw, b""))
    ]
    assert finding
    for rule in finding:
        assert re2.search(rule.hint.encode(), raw)
        assert len(raw) >= rule.shortest


def test_every_rule_fires_on_some_sample() -> None:
    silent = [
        rule.pattern for rule in RULES if all(Chain(KEYED, (rule,)).apply(s).text == s for s in SAMPLES)
    ]
    assert silent == []


def test_the_first_rule_wins_where_two_claim_the_same_text() -> None:
    made = Chain(KEYED).apply("https://user:p4ss@mail.com/x")
    assert dict(made.counts) == {"url_credentials": 1}


def test_a_surrogate_is_safe_from_the_rules_after_it() -> None:
    first = Chain(KEYED).apply("key sk-" + "a1" * 12)
    second = Chain(KEYED).apply(first.text)
    assert second.text == first.text
    assert not second.counts


def test_counts_go_by_rule_name() -> None:
    made = Chain(KEYED).apply("a@b.co and c@d.co from 8.8.8.8")
    assert dict(made.counts) == {"email": 2, "ip_address": 1}


def test_the_name_of_a_field_gives_digits_away() -> None:
    assert Chain(KEYED).apply("4673395", name="phone").text != "4673395"
    assert Chain(KEYED).apply("4673395", name="order").text == "4673395"


def test_values_that_only_context_gave_away_are_handed_on() -> None:
    made = Chain(KEYED).apply("my password is hunter2!")
    assert list(made.echoes) == ["hunter2"]


def test_text_with_lone_surrogates_is_read() -> None:
    assert Chain(KEYED).apply("\ud800 a@b.co").text.startswith("\ud800 ")


@pytest.mark.parametrize(
    "unit",
    ["a@", "4111 ", "password=", "://:@", "eyJ.", "+1(", "\\n", "a1B", "::1", "-----BEGIN PRIVATE KEY-----"],
)
def test_hostile_repetition_is_read_to_the_end(unit: str) -> None:
    made = Chain(KEYED).apply(unit * 20_000 + " a@b.co")
    assert not made.text.endswith("a@b.co")
