from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offramp.certify.ceiling import LEAST
from offramp.certify.terms import Terms
from offramp.core.call import Answer, OutputType
from offramp.core.dataset import PARTS, Dataset, Item
from offramp.core.measure import Measure
from offramp.core.model import Example
from offramp.loop.ceiling import within_reach
from offramp.testing.traffic import ROUTER, ask, calls_of, say

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

TASK = "t-1"


def item(number: int, question: str, answer: str, **fields: object) -> Item:
    request = {**ask(ROUTER, question), **fields}
    (call,) = calls_of([(request, say(answer))], first=number)
    return Item(call, TASK, Answer(answer), Example(TASK, question, answer), question)


def dataset(**parts: list[Item]) -> Dataset:
    nothing: dict[str, tuple[Item, ...]] = dict.fromkeys(PARTS, ())
    return Dataset((TASK,), nothing | {name: tuple(held) for name, held in parts.items()}, nothing, {}, {})


def pairs(count: int, first: str, second: str, *, start: int = 0, **fields: object) -> list[Item]:
    return [
        one
        for number in range(start, start + count)
        for one in (
            item(2 * number, f"question {number}", first),
            item(2 * number + 1, f"question {number}", second, **fields),
        )
    ]


def known(held: Dataset, measure: Measure | None = None) -> float | None:
    return within_reach(Terms(alpha=0.05), OutputType.LABEL, held, measure).self_agreement


def test_answers_to_one_question_are_compared_by_the_units_own_measure() -> None:
    calls = pairs(15, "billing", " Billing.") + pairs(5, "billing", "shipping", start=15)
    assert known(dataset(train=calls[:20], validation=calls[20:])) == 0.75


def test_a_repeat_that_was_set_apart_still_speaks_for_the_teacher() -> None:
    calls = pairs(LEAST, "billing", "shipping")
    held = dataset(train=calls[::2])
    assert known(held) is None
    assert known(replace(held, repeats={**held.repeats, "validation": tuple(calls[1::2])})) == 0.0


@pytest.mark.parametrize(
    ("fields", "same"), [({"user": "u-2", "stream": True}, True), ({"temperature": 0.7}, False)]
)
def test_who_asks_is_no_part_of_the_question(fields: JsonObject, same: bool) -> None:
    found = known(dataset(train=pairs(LEAST, "billing", "billing", **fields)))
    assert found == (1.0 if same else None)


def test_calls_that_are_certified_on_do_not_decide_what_is_promised() -> None:
    held = dataset(train=pairs(LEAST, "billing", "billing"), calibration=pairs(LEAST, "billing", "shipping"))
    assert within_reach(Terms(alpha=0.05), OutputType.LABEL, held).alpha == 0.05
    without = dataset(calibration=pairs(LEAST, "billing", "shipping"))
    assert within_reach(Terms(alpha=0.05), OutputType.LABEL, without) == Terms(alpha=0.05)


def test_a_request_nested_beyond_what_can_be_written_is_passed_over() -> None:
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    calls = pairs(LEAST, "billing", "billing")
    nested = [replace(i, call=replace(i.call, request={**i.call.request, "x": deep})) for i in calls]
    assert known(dataset(train=nested)) is None


def test_the_teacher_agrees_with_itself_in_the_sense_that_was_chosen() -> None:
    held = dataset(train=pairs(LEAST, "Dear sir, yes", "dear sir - yes!"))
    assert known(held) == 0.0
    assert known(held, Measure.TEXT) == 1.0
    assert within_reach(Terms(alpha=0.05), OutputType.LABEL, held, Measure.TEXT).alpha == 0.05
