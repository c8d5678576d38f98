"""Where a sequence of tests starts, and what a lost first test costs: two starts that share delta.

Where a fixed sequence starts decides everything: a start that fails certifies nothing, however good the
looser thresholds are. The threshold with the smallest forecast is the likeliest to pass, but forecasts come
from the validation calls that members' floors and calibrators were chosen on, and flatter; the strictest
threshold that should pass with room to spare has more reserve. So both are tried, each with half of delta,
and a sequence that gets from the first start to the second brings its half along: there, and from there on,
delta is whole (the fallback procedure of Wiens, Pharmaceutical Statistics 2(3), 2003; Wiens and Dmitrienko,
J. Biopharm. Stat. 15(6), 2005).

The chance of certifying any threshold whose risk is alpha or more stays at most delta. Let b be the strictest
such threshold, and e the strictest of them from the second start on. To certify one of them, either the
first sequence passes b, or it ends before the second start and the second sequence passes e. Where b lies
before the second start, both tests are made at delta / 2. Where it does not, b is e, and is tested once, at
delta or less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.certify.units import Floats


ROOM: Final = 0.1
"""Part of delta that the forecast of the first start may be at most: what should pass by a hair would fail
half of the time, and its half of delta would be lost."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of a sequence.

    Attributes:
        passed: Number of thresholds up to the loosest that passed; 0 where none did.
        tested: Tests made, failed ones included.
        level: Delta of the test that decided: of the last that passed, or of the first one that failed.
    """

    passed: int
    tested: int
    level: float


def two_starts(forecasts: Floats, delta: float) -> tuple[int, int]:
    """Choose the two starts; they are one where no stricter threshold should pass.

    Args:
        forecasts: P-values that validation forecasts, strict to loose, shape (t,), t at least 1.
        delta: Probability of certifying too loose a threshold.

    Returns:
        The strictest threshold that should pass with room to spare, and that of the smallest forecast.
    """
    best = int(np.argmin(forecasts))
    good = np.flatnonzero(forecasts[:best] <= ROOM * delta)
    return (int(good[0]) if len(good) else best), best


def walk(total: int, second: int, delta: float, passes: Callable[[slice, float], int]) -> Walk:
    """Test thresholds in turn, with a second start.

    Args:
        total: Number of thresholds.
        second: Where the second start is, 0 for none.
        delta: Probability of certifying too loose a threshold.
        passes: How many of a stretch of thresholds pass at a level before the first that fails.
    """
    share = delta / 2.0 if second else delta
    early = passes(slice(0, second), share) if second else 0
    level = delta if early == second else share
    late = passes(slice(second, total), level)
    tested = min(early + 1, second) + min(late + 1, total - second)
    return Walk(second + late, tested, level) if late else Walk(early, tested, share)
