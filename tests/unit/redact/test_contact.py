from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from offramp.redact.contact import BARE_PHONE, EMAIL, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.rule import Rule

    Apply = Callable[[Rule, str], str]


def test_an_address_becomes_another_valid_looking_one(apply: Apply) -> None:
    made = apply(EMAIL, "write to UtaKortig@jourrapide.com today")
    assert re.fullmatch(r"write to [a-z]{14}@example\.org today", made)


def test_a_dot_in_the_local_part_stays_a_dot(apply: Apply) -> None:
    assert re.fullmatch(r"[a-z]{6}\.[a-z]{8}@example\.org", apply(EMAIL, "john.smith@acme.com"))


def test_upper_and_lower_case_are_one_address(apply: Apply) -> None:
    assert apply(EMAIL, "John@Acme.com") == apply(EMAIL, "john@acme.com")


def test_addresses_at_example_domains_are_masked_too(apply: Apply) -> None:
    assert "mia.li3818" not in apply(EMAIL, "mia.li3818@example.com")


@pytest.mark.parametrize(
    "text", ["git@github.com:owner/repository", "user@localhost", "package@1.2.3", "@types/node", "a @ b.c"]
)
def test_what_only_looks_like_an_address_stays(apply: Apply, text: str) -> None:
    assert apply(EMAIL, text) == text


def test_an_escape_before_an_address_is_no_part_of_it(apply: Apply) -> None:
    assert apply(EMAIL, r"x\nfoo@bar.com") == rf"x\n{apply(EMAIL, 'foo@bar.com')}"


@pytest.mark.parametrize(
    "number",
    [
        "+1 (415) 555-2671",
        "415-555-2671",
        "(415) 555-2671",
        "415.555.2671x4587",
        "+44 20 7946 0958",
        "0049 30 901820",
        "01.84.17.61.18",
        "0490 75 40 81",
        "+41 (0)96 471 07 95",
        "079 2718 1155",
        "+447700677662",
        "001-518-640-0854",
        "(08) 8747 6301",
    ],
)
def test_a_number_keeps_its_format(apply: Apply, number: str) -> None:
    made = apply(PHONE, f"ring {number}, please")
    assert re.sub(r"\d", "0", made) == re.sub(r"\d", "0", f"ring {number}, please")
    assert number not in made


@pytest.mark.parametrize("number", ["467 3395", "60-56-85-91", "9498777106", "(37) 788-063", "72 128 827"])
def test_a_number_of_no_telling_shape_needs_words_before_it(apply: Apply, number: str) -> None:
    assert number not in apply(BARE_PHONE, f"Phone: {number}")
    assert number in apply(BARE_PHONE, f"Order: {number}")


def test_one_number_written_in_several_ways_keeps_one_line_number(apply: Apply) -> None:
    ways = ["+1 415 555 2671", "(415) 555-2671", "415-555-2671", "1-415-555-2671"]
    assert len({re.sub(r"\D", "", apply(PHONE, way))[-7:] for way in ways}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-15",
        "2024-05-15 15:00:00",
        "15:00:00 2024-05-15",
        "HAT001",
        "credit_card_4938634",
        "#W1234567",
        "$1,859.00",
        "4WQ150",
        "1715785200",
        "550e8400-e29b-41d4-a716-446655440000",
        "v1.2.3.4",
        "100 200 3000",
        "0.25 0.50 0.75",
    ],
)
def test_ordinary_agent_text_holds_no_phone_number(apply: Apply, text: str) -> None:
    for rule in (PHONE, BARE_PHONE):
        assert apply(rule, f"see {text} there") == f"see {text} there"
