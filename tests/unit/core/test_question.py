from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.question import question_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.dictionaries(st.sampled_from(["model", "messages", "tools", "temperature", "n"]), VALUES)


@given(REQUESTS, REQUESTS)
def test_questions_are_the_same_where_all_that_decides_the_answer_is(left: dict, right: dict) -> None:  # type: ignore[type-arg]
    assert question_of(left) == question_of({**dict(reversed(left.items())), "user": "u", "stream": True})
    if repr(sorted(left.items())) == repr(sorted(right.items())):
        assert question_of(left) == question_of(right)
    assert (question_of({**left, "n": 1}) == question_of({**right, "n": 2})) is False


@pytest.mark.parametrize("value", [1 << 80, "\ud800", float("nan")])
def test_what_orjson_refuses_is_a_question_all_the_same(value: object) -> None:
    assert question_of({"messages": value}) == question_of({"messages": value}) != question_of({})


def test_a_request_nested_beyond_what_can_be_written_is_none() -> None:
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    assert question_of({"messages": deep}) == 0
