from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.redact import Redactor

KEY = b"k" * 32
REDACTOR = Redactor(KEY)
PLANTED = [
    "john.smith@acme.com",
    "415-555-2671",
    "+44 20 7946 0958",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "460-89-9847",
    "106.31.73.20",
    "2001:4860:4860::8888",
    "https://u:p4ss@h.com/x",
    "sk-proj-" + "a1" * 12,
    "password=hunter2!",
    "Bearer " + "a1" * 12,
    "my password is hunter2!",
    "AKIAIOSFODNN7ABCDEFG",
    "xoxb-123456789012-abcdefABCDEF",
    "phone 467 3395",
    "aB1" * 100,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(PLANTED),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
planted_text = st.lists(st.sampled_from(PLANTED) | st.text(" abc.,!?", max_size=8), max_size=8).map(
    " , ".join
)


addresses = st.from_regex(r"[a-zA-Z0-9][a-z0-9._+]{0,8}@[a-z0-9]{1,8}\.[a-z]{2,5}", fullmatch=True)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


@given(json_values)
def test_any_json_value_comes_back_in_the_same_shape(value: Any) -> None:
    assert shape(REDACTOR.redact(value).value) == shape(value)


@given(planted_text)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = REDACTOR.redact({"content": text})
    twice = REDACTOR.redact(once.value)
    assert twice.value == once.value
    assert twice.counts == {}


@given(planted_text)
def test_no_planted_value_survives(text: str) -> None:
    made = REDACTOR.redact(text).value
    for planted in PLANTED:
        if planted in text:
            assert planted not in made


@given(addresses, addresses)
def test_addresses_are_equal_after_redaction_only_where_they_were_before(one: str, other: str) -> None:
    made = [REDACTOR.redact(f"<{value}>").value for value in (one, other)]
    assert (made[0] == made[1]) == (one.lower() == other.lower())


def test_a_copied_value_is_still_a_copy_in_tool_arguments() -> None:
    arguments = json.dumps({"email": "john@acme.com", "subject": "hi"})
    call = {"content": "mail john@acme.com", "function": {"name": "send", "arguments": arguments}}
    made = REDACTOR.redact(call).value
    address = json.loads(made["function"]["arguments"])["email"]
    assert made["content"] == f"mail {address}"
    assert address != "john@acme.com"


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to": "a\\nfoo@bar.com", "n": 1.50, "x": 1e5}',
        '{\n  "to":"foo@bar.com",\n  "n": [1,2]\n}',
        '["foo@bar.com", {"a": null}]',
    ],
)
def test_json_inside_a_string_stays_valid_and_keeps_its_writing(arguments: str) -> None:
    made = REDACTOR.redact(arguments).value
    surrogate = REDACTOR.redact("foo@bar.com").value
    assert made == arguments.replace("foo@bar.com", surrogate)
    json.loads(made)


def test_json_inside_json_inside_a_string_is_read() -> None:
    inner = json.dumps({"password": "hunter2!"})
    made = json.loads(json.loads(REDACTOR.redact(json.dumps({"body": inner})).value)["body"])
    assert made["password"].endswith("-example")


def test_a_field_named_password_is_masked_whatever_it_holds() -> None:
    made = REDACTOR.redact({"password": "correct horse", "other": "correct horse"})
    assert made.value["password"].endswith("-example")
    assert made.value["other"] == made.value["password"]


def test_what_context_gave_away_is_masked_where_there_is_no_context() -> None:
    made = REDACTOR.redact(["my phone is 467 3395", "I noted 467 3395"]).value
    number = made[0].removeprefix("my phone is ")
    assert made[1] == f"I noted {number}"
    assert number != "467 3395"


def test_a_number_that_words_gave_away_is_masked_where_there_are_none() -> None:
    said = {
        "content": "block my card 180016070420458",
        "arguments": '{"card": "180016070420458"}',
        "n": 180016070420458,
    }
    made = REDACTOR.redact(said).value
    number = made["content"].removeprefix("block my card ")
    assert number != "180016070420458"
    assert made["arguments"] == f'{{"card": "{number}"}}'
    assert made["n"] == int(number)


def test_numbers_are_read_too() -> None:
    made = REDACTOR.redact({"card": 4111111111111111, "phone": 4155552671, "order": 4155552672, "n": 3}).value
    assert str(made["card"]).startswith("400000")
    assert made["n"] == 3
    assert made["phone"] != 4155552671
    assert made["order"] == 4155552672


def test_keys_of_objects_are_read_too() -> None:
    assert "john@acme.com" not in json.dumps(REDACTOR.redact({"john@acme.com": 1}).value)


def test_another_key_gives_other_surrogates() -> None:
    other = Redactor(b"j" * 32)
    assert other.redact("john@acme.com").value != REDACTOR.redact("john@acme.com").value


def test_two_redactors_with_one_key_agree() -> None:
    assert Redactor(KEY).redact("john@acme.com") == REDACTOR.redact("john@acme.com")


def test_what_is_nested_too_deep_to_read_is_left_out() -> None:
    value: Any = "john@acme.com"
    for _ in range(300):
        value = [value]
    made = REDACTOR.redact(value)
    assert "john" not in json.dumps(made.value)
    assert made.counts == {"depth": 1}


def test_json_text_nested_too_deep_is_read_as_text() -> None:
    assert "john@" not in REDACTOR.redact("[" * 100_000 + '"john@acme.com"' + "]" * 100_000).value


def test_a_long_text_that_was_clean_once_is_clean_again_and_changes_nothing() -> None:
    text = "You are a helpful assistant. " * 20
    assert REDACTOR.redact(text).value == REDACTOR.redact(text).value == text


def test_ordinary_agent_text_is_left_alone() -> None:
    text = (
        "The current time is 2024-05-15 15:00:00 EST. Flight HAT001 on 2024-05-20 is $1,859.00; reservation"
        " 4WQ150, payment credit_card_4938634, order #W1234567, id 550e8400-e29b-41d4-a716-446655440000,"
        " max_tokens=4096."
    )
    assert REDACTOR.redact(text).counts == {}
