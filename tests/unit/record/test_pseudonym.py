from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.record.pseudonym import Pseudonyms, origin_of, rename, who_asked

PSEUDONYMS = Pseudonyms(b"k" * 32)


def origin(credential: str = "", client: str = "", **request: Any) -> str:
    return origin_of(PSEUDONYMS, who_asked(PSEUDONYMS, credential, client), request)


def test_a_pseudonym_says_its_kind_and_nothing_else() -> None:
    assert re.fullmatch(r"user-[0-9a-f]{16}", PSEUDONYMS.of("user", "jane.doe"))


@given(st.text())
def test_the_same_value_has_the_same_pseudonym(value: str) -> None:
    assert PSEUDONYMS.of("user", value) == Pseudonyms(b"k" * 32).of("user", value)


def test_another_key_gives_another_pseudonym() -> None:
    assert PSEUDONYMS.of("user", "jane") != Pseudonyms(b"j" * 32).of("user", "jane")


def test_values_do_not_run_into_one_another() -> None:
    assert PSEUDONYMS.of("user", "ab", "c") != PSEUDONYMS.of("user", "a", "bc")


@pytest.mark.parametrize(
    "other",
    [
        origin("two", user="jane"),
        origin("one", user="john"),
        origin("one"),
        origin("one", metadata={"user_id": "john"}),
    ],
)
def test_another_key_or_user_is_another_origin(other: str) -> None:
    assert origin("one", user="jane") != other


def test_a_known_key_is_one_origin_from_every_address() -> None:
    assert origin("one", "10.0.0.1") == origin("one", "10.0.0.2")


@pytest.mark.parametrize(
    "field", [{"user": "jane"}, {"safety_identifier": "jane"}, {"metadata": {"user_id": "jane"}}]
)
def test_a_user_is_one_origin_in_every_dialect(field: dict[str, Any]) -> None:
    assert origin("one", **field) == origin("one", user="jane")


@pytest.mark.parametrize(
    "user_id", ["jane_session_{}", '{{"session_id":"{}","account_uuid":"jane"}}', '{{"session_id":"{}"}}']
)
def test_the_session_in_a_user_id_is_no_part_of_the_origin(user_id: str) -> None:
    one, two = (origin("one", metadata={"user_id": user_id.format(number)}) for number in (1, 2))
    assert one == two


def test_without_key_and_user_the_address_is_the_origin() -> None:
    assert origin(client="10.0.0.1") == origin(client="10.0.0.1") != origin(client="10.0.0.2")


def test_identities_in_a_request_become_pseudonyms() -> None:
    request = {
        "model": "m",
        "user": "jane.doe",
        "safety_identifier": "jane.doe",
        "prompt_cache_key": "jane.doe-1",
        "metadata": {"user_id": "jane.doe", "n": 3, "account": 31337, "nested": {"name": "jane.doe"}},
        "conversation": {"id": "conv-jane"},
        "previous_response_id": "resp-jane",
        "messages": [
            {"role": "user", "name": "jane.doe", "content": "hi"},
            {"role": "tool", "name": "search"},
        ],
    }
    renamed = rename(PSEUDONYMS, request)
    assert "jane" not in repr(renamed)
    assert renamed["user"] == renamed["safety_identifier"] == renamed["metadata"]["user_id"]
    assert renamed["metadata"]["n"] == 3
    assert renamed["metadata"]["account"] == PSEUDONYMS.of("user", "31337")
    assert renamed["messages"][1] == {"role": "tool", "name": "search"}
    assert request["user"] == "jane.doe"


@pytest.mark.parametrize(
    "request_", [{}, {"user": None, "metadata": "x", "messages": None}, {"messages": [1, None, "x"]}]
)
def test_a_request_without_identities_stays(request_: dict[str, Any]) -> None:
    assert rename(PSEUDONYMS, request_) == request_


def test_a_user_that_is_a_number_becomes_a_pseudonym() -> None:
    assert rename(PSEUDONYMS, {"user": 42}) == {"user": PSEUDONYMS.of("user", "42")}
