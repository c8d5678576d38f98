"""Free text: agreement as a judge sees it, with the judge's own error counted in.

A judge says of two answers whether they are the same. What matters is how often it *misses* a true
disagreement: its miss rate is bounded on pairs that people, or a gold standard, have labelled. If it misses
a share of at most m, then a true risk above alpha shows as a judged risk above ``alpha (1 - m)``, whatever
else the judge does: calling agreements disagreements only makes the judged risk larger. So ``alpha (1 - m)``
is tested in place of alpha, half of delta pays for the bound m and half for the test. This takes that the
judge misses answered calls' disagreements no more often than those that were labelled; label a sample of
the task's own calls, one a session. A judge without a measured error certifies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.certify.bounds import upper
from offramp.core.errors import BadInput
from offramp.core.measure import judged_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.certify.agreement import Judge, Pair
    from offramp.certify.terms import Terms


@dataclass(frozen=True, slots=True)
class Labelled:
    """Two answers to a request of which it is known whether they are the same.

    Attributes:
        pair: The request and the answers.
        same: What people, or a gold standard, say.
    """

    pair: Pair
    same: bool


@dataclass(frozen=True, slots=True)
class JudgeError:
    """What a judge got wrong on labelled pairs.

    Attributes:
        judge: Its name.
        disagreements: Pairs that differ.
        missed: Of those, pairs that it took for the same; they are what breaks promises.
        agreements: Pairs that are the same.
        refused: Of those, pairs that it took for different; they cost coverage.
    """

    judge: str
    disagreements: int
    missed: int
    agreements: int
    refused: int

    def miss_upper(self, delta: float) -> float:
        """Return the Clopper-Pearson bound on the miss rate at ``1 - delta``; 1 without disagreements."""
        return upper(self.disagreements, self.missed, delta)


def judge_error(judge: Judge, labelled: Sequence[Labelled]) -> JudgeError:
    """Let a judge decide labelled pairs, and count.

    Raises:
        OfframpError: The judge could not be asked.
    """
    counts = {(truth, said): 0 for truth in (True, False) for said in (True, False)}
    decided = judge.same([one.pair for one in labelled])
    for one, said in zip(labelled, decided, strict=True):
        counts[one.same, said] += 1
    return JudgeError(
        judge=judge.name,
        disagreements=counts[False, True] + counts[False, False],
        missed=counts[False, True],
        agreements=counts[True, True] + counts[True, False],
        refused=counts[True, False],
    )


def judged(terms: Terms, error: JudgeError) -> Terms:
    """Return terms for losses that a judge decided, see the module.

    Raises:
        BadInput: The judge has no measured error, or may miss every disagreement.
    """
    missed = error.miss_upper(terms.delta / 2.0)
    if missed >= 1.0:
        raise BadInput(
            f"The judge {error.judge!r} was measured on {error.disagreements} labelled disagreements and "
            f"missed {error.missed}; nothing bounds what it misses.",
            hint="Label pairs of answers of this task, some of which differ, and measure the judge on them.",
        )
    return replace(
        terms,
        measure=judged_by(error.judge),
        judge_missed=missed,
        judge_labelled=error.disagreements,
        judge_misses=error.missed,
    )
