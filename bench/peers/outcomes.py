"""What a system did on the test calls of one split, and what that amounts to over many; pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.gateway.stats import percentile

from offramp.certify.bounds import interval, lower

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
"""Level of the test that calls a split broken."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One system at one alpha on one split.

    Attributes:
        tests: Test calls.
        answered: Of those, calls that it answered.
        wrong: Of those, calls on which it disagrees with the teacher.
        usd: USD per 1,000 test calls: deferrals, audits, and the processor's time for every call.
        ms: CPU milliseconds of each timed call that it answered.
        note: How it decided, or why it answers nothing.
    """

    tests: int
    answered: int
    wrong: int
    usd: float
    ms: tuple[float, ...] = ()
    note: str = ""

    @property
    def coverage(self) -> float:
        """Share of the test calls that it answered."""
        return self.answered / self.tests if self.tests else 0.0

    @property
    def risk(self) -> float:
        """Share of the answered test calls on which it disagrees; 0 where nothing was answered."""
        return self.wrong / self.answered if self.answered else 0.0

    def above(self, alpha: float) -> bool:
        """Tell whether its observed risk exceeds alpha, by however little."""
        return self.wrong > alpha * self.answered

    def broke(self, alpha: float) -> bool:
        """Tell whether the test calls prove a risk above alpha: an exact one-sided binomial test at 5 %."""
        return self.answered > 0 and lower(self.answered, self.wrong, LEVEL) > alpha


@dataclass(frozen=True, slots=True)
class Summary:
    """One system at one alpha over all splits.

    Attributes:
        splits: Splits measured.
        coverage: Mean share of the test calls answered.
        coverage_range: Smallest and largest over the splits.
        risk: Wrong of answered, all splits together.
        risk_worst: Largest risk of a split.
        above: Splits whose observed risk exceeds alpha.
        above_share: Their share, with its exact 95 % interval.
        broke: Splits whose risk is significantly above alpha.
        broke_share: Their share, with its exact 95 % interval.
        served: Splits in which it answered anything.
        usd: Mean USD per 1,000 calls.
        p50_ms: Median CPU milliseconds of an answered call; NaN where none was timed.
        p95_ms: 95th percentile of the same.
        notes: What it said, most frequent first.
    """

    splits: int
    coverage: float
    coverage_range: tuple[float, float]
    risk: float
    risk_worst: float
    above: int
    above_share: tuple[float, float]
    broke: int
    broke_share: tuple[float, float]
    served: int
    usd: float
    p50_ms: float
    p95_ms: float
    notes: tuple[str, ...] = field(default=())


def summarise(outcomes: Sequence[Outcome], alpha: float) -> Summary:
    """Put the splits of one system at one alpha together.

    Splits draw from the same calls and so are not independent: the intervals describe the draw of
    splits, not of new traffic.

    Args:
        outcomes: One a split, one at least.
        alpha: What was promised.
    """
    coverage = [one.coverage for one in outcomes]
    answered, wrong = (sum(getattr(one, name) for one in outcomes) for name in ("answered", "wrong"))
    above, broke = sum(one.above(alpha) for one in outcomes), sum(one.broke(alpha) for one in outcomes)
    ms = sorted(value for one in outcomes for value in one.ms)
    notes = [one.note for one in outcomes if one.note]
    return Summary(
        splits=len(outcomes),
        coverage=statistics.fmean(coverage),
        coverage_range=(min(coverage), max(coverage)),
        risk=wrong / answered if answered else math.nan,
        risk_worst=max(one.risk for one in outcomes) if answered else math.nan,
        above=above,
        above_share=interval(len(outcomes), above, 0.05),
        broke=broke,
        broke_share=interval(len(outcomes), broke, 0.05),
        served=sum(one.answered > 0 for one in outcomes),
        usd=statistics.fmean(one.usd for one in outcomes),
        p50_ms=percentile(ms, 0.5),
        p95_ms=percentile(ms, 0.95),
        notes=tuple(sorted(set(notes), key=lambda note: (-notes.count(note), note))),
    )
