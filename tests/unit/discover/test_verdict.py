from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from offramp.core.call import Call, OutputType
from offramp.core.measure import Measure, default_of
from offramp.discover.verdict import MIN_SESSIONS, OWN_SESSIONS, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.json import JsonObject

MANY = 300


def tool_call(*names: str) -> JsonObject:
    calls = [{"type": "function", "function": {"name": name, "arguments": '{"a":"b"}'}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def text(content: str) -> JsonObject:
    return {"role": "assistant", "content": content}


def verdict(
    answers: Sequence[JsonObject],
    *,
    sessions: int = MANY,
    status: int = 200,
    turns: int = 1,
    measures: Callable[[OutputType], Measure | None] = default_of,
) -> Verdict:
    calls = []
    for number, message in enumerate(answers):
        asked = [{"role": "user", "content": f"payload {number}"}] * turns
        response = {"choices": [{"message": message, "finish_reason": "stop"}]}
        calls.append(Call(str(number), number, str(number), "", {"messages": asked}, response, status))
    return judge(calls, sessions, measures)


def test_single_tool_calls_are_convertible() -> None:
    found = verdict([tool_call("f")] * 95 + [text("no")] * 5)
    assert (found.output, found.convertible) == (OutputType.TOOL_CALL, True)


def test_one_field_with_few_values_is_a_label() -> None:
    found = verdict([text(json.dumps({"team": team})) for team in ("a", "b", "c") * 50])
    assert (found.output, found.convertible) == (OutputType.LABEL, True)
    assert "3 labels" in found.reason


def test_a_short_text_with_few_values_is_a_label() -> None:
    assert verdict([text("yes"), text("no")] * 60).output is OutputType.LABEL


def test_one_request_repeated_does_not_make_a_label() -> None:
    asked = {"messages": [{"role": "user", "content": "tell me a joke"}]}
    calls = []
    for number in range(100):
        response = {"choices": [{"message": text(f"joke {number // 2}"), "finish_reason": "stop"}]}
        calls.append(Call(str(number), number, str(number), "", asked, response))
    assert judge(calls, 100).output is OutputType.TEXT


def test_flat_json_with_short_values_is_convertible() -> None:
    found = verdict([text(json.dumps({"name": f"n{i}", "age": i})) for i in range(MANY)])
    assert (found.output, found.convertible) == (OutputType.JSON, True)


@pytest.mark.parametrize(
    ("answers", "output", "reason"),
    [
        (
            [text(json.dumps({"why": "so " * 40, "n": i})) for i in range(90)],
            OutputType.JSON,
            "'why' is free text",
        ),
        ([text(json.dumps({"a": {"b": i}})) for i in range(90)], OutputType.JSON, "nested JSON"),
        ([text(f"SELECT a FROM t{i} WHERE b") for i in range(90)], OutputType.TEXT, "SQL code"),
        ([text(f"Dear reader {i}, " + "so " * 30) for i in range(90)], OutputType.TEXT, "without a judge"),
        ([text(f'```json\n{{"a": {i}}}\n```') for i in range(90)], OutputType.TEXT, "code fence"),
        ([tool_call("f"), text("I cannot do this")] * 45, OutputType.TEXT, "50% one tool call"),
        ([tool_call("f", "g")] * 90, OutputType.TEXT, "several at once"),
    ],
)
def test_what_cannot_be_compared_stays_with_the_teacher(
    answers: list[JsonObject], output: OutputType, reason: str
) -> None:
    found = verdict(answers)
    assert (found.output, found.convertible) == (output, False)
    assert reason in found.reason


def test_a_dialogue_is_named_as_one() -> None:
    found = verdict([text(f"Well, number {i}, " + "so " * 30) for i in range(90)], turns=4)
    assert "dialogue (median 4 user turns)" in found.reason


def test_failed_calls_are_no_task_to_convert() -> None:
    found = verdict([text("yes")] * 50, status=500)
    assert (found.output, found.convertible) == (OutputType.ERROR, False)
    assert "100%" in found.reason


def test_too_few_sessions_say_how_many_more() -> None:
    found = verdict([tool_call("f")] * 20, sessions=MIN_SESSIONS - 10)
    assert not found.convertible
    assert "10 more" in found.reason


def test_a_small_task_may_join_a_group() -> None:
    found = verdict([tool_call("f")] * 100, sessions=OWN_SESSIONS - 7)
    assert found.convertible
    assert "7 more sessions" in found.reason


def chosen(measure: Measure | None) -> Callable[[OutputType], Measure | None]:
    return lambda _: measure


def test_free_text_is_tried_where_a_measure_was_chosen_for_it() -> None:
    answers = [text(f"Dear reader {i}, " + "so " * 30) for i in range(MANY)]
    found = verdict(answers, measures=chosen(Measure.TEXT))
    assert (found.output, found.convertible, found.measure) == (OutputType.TEXT, True, Measure.TEXT)
    assert "compared as normalised text" in found.reason
    few = verdict(answers[:80], sessions=20, measures=chosen(Measure.TEXT))
    assert not few.convertible


def test_mixed_actions_stay_with_the_teacher_whatever_the_measure() -> None:
    found = verdict([tool_call("f"), text("I cannot do this")] * 150, measures=chosen(Measure.TEXT))
    assert not found.convertible


def test_a_measure_that_does_not_fit_the_answers_keeps_the_teacher_and_says_which_do() -> None:
    found = verdict([tool_call("f")] * MANY, measures=chosen(Measure.LABEL))
    assert (found.convertible, found.measure) == (False, None)
    assert "'label', which does not fit tool_call answers (fitting: tools, tools-in-order" in found.reason


@pytest.mark.parametrize(
    ("answers", "output"),
    [
        ([text(f"Dear reader {i}, " + "so " * 30) for i in range(MANY)], OutputType.TEXT),
        ([text(json.dumps({"why": "so " * 40, "n": i})) for i in range(MANY)], OutputType.JSON),
    ],
)
def test_what_a_judge_can_compare_is_tried(answers: list[JsonObject], output: OutputType) -> None:
    found = verdict(answers, measures=chosen(Measure.JUDGE))
    assert (found.output, found.convertible, found.measure) == (output, True, Measure.JUDGE)
    assert "compared by a judge" in found.reason


def test_what_is_to_be_judged_stays_with_the_teacher_while_no_judge_is_measured() -> None:
    found = verdict([text(json.dumps({"n": f"n{i}"})) for i in range(MANY)], measures=chosen(None))
    assert not found.convertible
    assert "no judge with a measured error" in found.reason
