from __future__ import annotations

from dataclasses import replace

import pytest

from offramp.core.call import Call, OutputType
from offramp.core.task import Task
from offramp.curate import filter as sieve

TASK = Task(
    "t-1",
    "v1",
    "lights",
    "s",
    OutputType.TOOL_CALL,
    1,
    1.0,
    1.0,
    1,
    convertible=True,
    reason="",
    slug="light",
)
TOOL = {"name": "dim", "parameters": {"properties": {"room": {"type": "string"}}}}
REQUEST = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "dim the hall"}],
    "tools": [{"type": "function", "function": TOOL}],
}
FUNCTION = {"name": "dim", "arguments": '{"room":"hall"}'}


def answer(
    *functions: dict[str, str], text: str | None = None, finish: str = "tool_calls"
) -> dict[str, object]:
    message = {"role": "assistant", "content": text, "tool_calls": [{"function": f} for f in functions]}
    return {"choices": [{"message": message, "finish_reason": finish}]}


CALL = Call("c1", 1.0, "s1", "", REQUEST, answer(FUNCTION))


def test_a_good_call_is_kept_with_its_answer_and_example() -> None:
    (item,), dropped = sieve.keep([CALL], {"c1": "t-1"}, {"t-1": TASK})
    assert item.example.prompt == "light: dim the hall"
    assert item.example.completion == 'dim {"room":"hall"}'
    assert item.answer.tool_calls[0].arguments == {"room": "hall"}
    assert not dropped


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (replace(CALL, trainable=False), sieve.NOT_TRAINABLE),
        (replace(CALL, status=429, trainable=False), sieve.NOT_TRAINABLE),
        (replace(CALL, status=429), sieve.FAILED),
        (replace(CALL, route="lora-1"), sieve.NOT_TEACHER),
        (replace(CALL, response={"choices": []}), sieve.NO_ANSWER),
        (replace(CALL, response=answer(FUNCTION, finish="length")), sieve.NO_ANSWER),
        (replace(CALL, response=answer(FUNCTION, FUNCTION)), sieve.OTHER_FORM),
        (replace(CALL, response=answer(text="I cannot.")), sieve.OTHER_FORM),
        (replace(CALL, response=answer({"name": "shut", "arguments": "{}"})), sieve.NOT_OFFERED),
        (replace(CALL, response=answer({"name": "dim", "arguments": '{"hue":1}'})), sieve.NOT_OFFERED),
        (
            replace(CALL, request={**REQUEST, "messages": [{"role": "user", "content": " "}]}),
            sieve.NO_PAYLOAD,
        ),
        (
            replace(
                CALL, request={**REQUEST, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
            ),
            sieve.NOT_TEXT,
        ),
    ],
)
def test_what_cannot_be_learned_from_is_dropped_and_counted(call: Call, reason: str) -> None:
    items, dropped = sieve.keep([CALL, call], dict.fromkeys(("c1", call.id), "t-1"), {"t-1": TASK})
    assert [item.call for item in items] == [CALL]
    assert dropped == {reason: 1}


def test_calls_of_other_tasks_are_passed_over() -> None:
    other = replace(CALL, id="c2")
    items, dropped = sieve.keep(
        [CALL, other, replace(CALL, id="c3")], {"c1": "t-1", "c2": "t-2"}, {"t-1": TASK}
    )
    assert [item.call.id for item in items] == ["c1"]
    assert not dropped
