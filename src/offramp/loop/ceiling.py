"""What a unit can be promised at all: its teacher's agreement with itself, apart from calibration calls."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from offramp.certify.agreement import agree
from offramp.certify.ceiling import SelfAgreement, attainable, self_agreement
from offramp.core.json import digest

if TYPE_CHECKING:
    from offramp.certify.terms import Terms
    from offramp.core.call import Answer, OutputType
    from offramp.core.dataset import Dataset, Item

_FITTED: Final = ("train", "validation")
"""Parts that may be looked at before it is fixed what is promised."""

_UNHEARD: Final = frozenset({"stream", "stream_options", "user", "metadata", "store", "safety_identifier"})
"""Fields of a request that tell who asks or how to send the answer, and nothing of what is asked."""


def within_reach(terms: Terms, output: OutputType, dataset: Dataset) -> Terms:
    """Return the terms that a unit's teacher leaves room for, see ``attainable``.

    Args:
        terms: What was asked for.
        output: Form of the unit's answers, which decides what agreement is.
        dataset: The unit's calls; its calibration and test calls are not looked at.
    """
    return attainable(terms, teacher_of(output, dataset))


def teacher_of(output: OutputType, dataset: Dataset) -> SelfAgreement:
    """Measure how often the teacher gave one answer to one request in training and validation calls."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    for part in _FITTED:
        for item in (*dataset.parts[part], *dataset.repeats[part]):
            if question := _question(item):
                answers[question].append(item.answer)
    return self_agreement(answers.values(), lambda one, other: agree(output, one, other))


def _question(item: Item) -> str:
    """Equal where one task is asked the same; "" for a request nested too deeply to be written."""
    asked = {name: value for name, value in item.call.request.items() if name not in _UNHEARD}
    try:
        return digest([item.task, asked])
    except RecursionError:
        return ""
