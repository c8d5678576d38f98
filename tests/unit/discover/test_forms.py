from __future__ import annotations

import pytest

from offramp.core.call import Answer, ToolCall
from offramp.discover.forms import MIN_ANSWERS, Shape, is_closed, partition, shape_of

MANY = MIN_ANSWERS * 2


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        (Answer(tool_calls=(ToolCall("f", {"a": 1}),)), Shape("tool", "f")),
        (Answer(tool_calls=(ToolCall("f", {}), ToolCall("g", {}))), Shape("tools", "")),
        (Answer(text="I will.", tool_calls=(ToolCall("f", {}),)), Shape("tools", "")),
        (Answer(text=' {"b": 1, "a": "x"}'), Shape("json:a,b", '{"a":"x","b":1}')),
        (Answer(text="yes\n"), Shape("text", "yes")),
        (Answer(text="word " * 50), Shape("text", "")),
        (Answer(text="{not json"), Shape("text", "{not json")),
        (Answer(text="  "), Shape("empty", "")),
    ],
)
def test_an_answers_form(answer: Answer, shape: Shape) -> None:
    assert shape_of(answer) == shape


def test_repeated_values_are_a_closed_set() -> None:
    assert is_closed(["yes", "no"] * 10)
    assert is_closed(["yes", "no"] * 50 + ["maybe"])


def test_values_that_keep_coming_are_an_open_set() -> None:
    assert not is_closed([f"value {i}" for i in range(40)])
    assert not is_closed(["yes"] * 20 + [""] * 10)
    assert not is_closed([])


def test_prompts_with_other_kinds_of_answers_are_told_apart() -> None:
    assert partition([[Shape("text", "")] * MANY, [Shape("json:a", "")] * MANY]) == [0, 1]


def test_prompts_with_disjoint_closed_answers_are_told_apart() -> None:
    teams = [Shape("text", "sales"), Shape("text", "support")] * MANY
    moods = [Shape("text", "happy"), Shape("text", "cross")] * MANY
    assert partition([teams, moods, teams]) == [0, 1, 0]


def test_prompts_whose_answers_overlap_are_not() -> None:
    one = [Shape("text", "sales"), Shape("text", "support")] * MANY
    other = [Shape("text", "support"), Shape("text", "legal")] * MANY
    assert partition([one, other]) == [0, 0]


def test_few_answers_tell_nothing() -> None:
    few = [Shape("json:a", "")] * (MIN_ANSWERS - 1)
    assert partition([[Shape("text", "")] * MANY, few]) == [0, 0]


def test_mixed_answers_tell_nothing() -> None:
    mixed = [Shape("text", ""), Shape("tool", "f")] * MANY
    assert partition([[Shape("text", "")] * MANY, mixed, [Shape("tool", "f")] * MANY])[1] == 0
