"""How often a teacher agrees with itself, and what a unit can be promised at all because of that."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from offramp.certify.agreement import Pair, agreeing
from offramp.certify.ceiling import SelfAgreement, attainable, self_agreement
from offramp.core.question import question_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.certify.agreement import Judge
    from offramp.certify.terms import Terms
    from offramp.core.call import Answer, OutputType
    from offramp.core.dataset import Dataset
    from offramp.core.json import JsonObject
    from offramp.core.measure import Measure

    Said = tuple[JsonObject, Answer]

_FITTED: Final = ("train", "validation")
"""Parts that may be looked at before it is fixed what is promised."""


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

    Raises:
        OfframpError: The judge could not be asked.
    """
    asked: dict[tuple[str, int], list[Said]] = defaultdict(list)
    for part in _FITTED:
        for item in (*dataset.parts[part], *dataset.repeats[part]):
            if question := question_of(item.call.request):
                asked[item.task, question].append((item.call.request, item.answer))
    return attainable(terms, with_itself(output, asked.values(), measure, judge))


def with_itself(
    output: OutputType,
    repeated: Iterable[Sequence[Said]],
    measure: Measure | None = None,
    judge: Judge | None = None,
) -> SelfAgreement:
    """Measure how often a teacher gave one answer to one question.

    Args:
        output: Form of the answers.
        repeated: For each question its requests (they differ in who asked, and how) with their answers.
        measure: What agreement is; the form's own where not given.
        judge: Who decides where that is a judge's.

    Raises:
        OfframpError: The judge could not be asked.
    """

    def same(pairs: Sequence[tuple[Said, Said]]) -> list[bool]:
        compared = [Pair(request, one, other) for (request, one), (_, other) in pairs]
        return agreeing(output, compared, measure=measure, judge=judge)

    return self_agreement(repeated, same)
