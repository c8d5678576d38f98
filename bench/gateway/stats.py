"""Percentiles, medians and ranges; pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over all rounds.

    Attributes:
        median: The middle round, NaN where there is none.
        low: The smallest round.
        high: The largest round.
    """

    median: float
    low: float
    high: float

    def text(self, digits: int = 0) -> str:
        """Return ``median (low-high)``, or ``-`` where nothing was measured."""
        if math.isnan(self.median):
            return "-"
        middle = f"{self.median:,.{digits}f}"
        if self.low == self.high:
            return middle
        return f"{middle} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


def spread(values: Iterable[float | None]) -> Spread:
    """Return median and range of the rounds that gave a figure."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(statistics.median(known), min(known), max(known))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank).

    Args:
        ordered: Values in ascending order.
        share: Between 0 and 1.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(values: Iterable[float]) -> dict[str, float]:
    """Return count, p50, p90, p99 and the largest value."""
    ordered = sorted(values)
    named = {f"p{int(share * 100)}": percentile(ordered, share) for share in (0.5, 0.9, 0.99)}
    return {"count": len(ordered), **named, "max": ordered[-1] if ordered else math.nan}
