"""What a unit can be promised at all: its teacher's agreement with itself, apart from calibration calls."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from offramp.certify.agreement import Pair, agreeing
from offramp.certify.ceiling import SelfAgreement, attainable, self_agreement
from offramp.core.json import digest

if TYPE_CHECKING:
    from offramp.certify.agreement import Judge
    from offramp.certify.terms import Terms
    from offramp.core.call import OutputType
    from offramp.core.dataset import Dataset, Item
    from offramp.core.measure import Measure

_FITTED: Final = ("train", "validation")
"""Parts that may be looked at before it is fixed what is promised."""

_UNHEARD: Final = frozenset({"stream", "stream_options", "user", "metadata", "store", "safety_identifier"})
"""Fields of a request that tell who asks or how to send the answer, and nothing of what is asked."""


def within_reach(
    terms: Terms,
    output: OutputType,
    dataset: Dataset,
    measure: Measure | None = None,
    judge: Judge | None = None,
) -> Terms:
    """Return the terms that a unit's teacher leaves room for, see ``attainable``.

    Args:
        terms: What was asked for.
        output: Form of the unit's answers.
        dataset: The unit's calls; its calibration and test calls are not looked at.
        measure: What agreement is; the form's own where not given.
        judge: Who decides where that is a judge's.
    """
    return attainable(terms, teacher_of(output, dataset, measure, judge))


def teacher_of(
    output: OutputType, dataset: Dataset, measure: Measure | None = None, judge: Judge | None = None
) -> SelfAgreement:
    """Measure how often the teacher gave one answer to one request in training and validation calls."""
    asked: dict[str, list[Item]] = defaultdict(list)
    for part in _FITTED:
        for item in (*dataset.parts[part], *dataset.repeats[part]):
            if question := _question(item):
                asked[question].append(item)

    def same(one: Item, other: Item) -> bool:
        pair = Pair(one.call.request, one.answer, other.answer)
        return agreeing(output, [pair], measure=measure, judge=judge)[0]

    return self_agreement(asked.values(), same)


def _question(item: Item) -> str:
    """Equal where one task is asked the same; "" for a request nested too deeply to be written."""
    asked = {name: value for name, value in item.call.request.items() if name not in _UNHEARD}
    try:
        return digest([item.task, asked])
    except RecursionError:
        return ""
