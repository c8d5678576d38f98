"""Days of traffic by two levels: a fluid that shows which windows are hard, and exact runs of some of them.

An iteration-level run of days costs hours. The fluid model keeps two numbers per window: what waits at its
end, when work flows in and out at constant rates, and how high its bursts go. The windows with the most
backlog or the highest bursts are run exactly, and stand for themselves; of the others some are drawn at
random within strata of their bursts, and stand for their stratum (stratified sampling; Cochran, Sampling
Techniques, 1977, chapter 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

DEVIATIONS = 2.0
"""Standard deviations of a burst above the mean: of 0 to 4, 2 ordered windows most as whole runs do."""


@dataclass(frozen=True, slots=True)
class Fluid:
    """A fleet as a bucket with a hole.

    Attributes:
        load: Requests offered to requests that can be answered, by window; above 1 it fills.
        backlog: Requests that wait at the end of each window.
        peak: The load in the bursts of each window: two standard deviations above its mean.
    """

    load: NDArray[np.float64]
    backlog: NDArray[np.float64]
    peak: NDArray[np.float64]


def fluid(
    per_s: NDArray[np.float64],
    capacity_per_s: float,
    width_s: float,
    *,
    variance: NDArray[np.float64] | None = None,
    burst_s: float = 1.0,
) -> Fluid:
    """Let requests flow in at each window's rate, and out at most at the fleet's.

    Means alone pass over windows that are hard for their bursts: of a renewal process with variation ``c``,
    the count in ``t`` seconds has about the variance ``rate c^2 t`` (Cox, Renewal Theory, 1962).

    Args:
        per_s: Requests a second offered, by window, shape ``(windows,)``.
        capacity_per_s: Requests a second that the fleet answers at most, above 0.
        width_s: Seconds of a window.
        variance: Sum over all who ask of their rate times the squared variation of their gaps, by window,
            shape ``(windows,)``; the rate itself, as of a Poisson process, where not given.
        burst_s: Seconds over which a burst counts: about what a call may take.
    """
    backlog, waiting = np.empty(len(per_s)), 0.0
    for window, rate in enumerate(per_s.tolist()):
        waiting = max(0.0, waiting + (rate - capacity_per_s) * width_s)
        backlog[window] = waiting
    spread = np.sqrt((per_s if variance is None else variance) / burst_s)
    return Fluid(per_s / capacity_per_s, backlog, (per_s + DEVIATIONS * spread) / capacity_per_s)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Windows of which some are run.

    Attributes:
        windows: All of them.
        drawn: Those that are run.
        requests: Requests of all of them.
    """

    windows: tuple[int, ...]
    drawn: tuple[int, ...]
    requests: float


def choose(
    flow: Fluid, requests: NDArray[np.float64], *, worst: int, strata: int, each: int = 2, seed: int = 0
) -> list[Stratum]:
    """Choose the windows to run.

    Args:
        flow: The fluid model's view.
        requests: Requests by window, shape ``(windows,)``; windows without any are left out.
        worst: Windows with the most backlog, and among equals the highest peak, each a stratum of its own.
        strata: Strata of the others, of about equally many requests, in order of their peaks.
        each: Windows drawn in each.
        seed: Of the draws.

    Raises:
        BadInput: Nothing would be run.
    """
    if worst + strata * each <= 0:
        raise BadInput(f"Nothing is to be run: {worst} worst windows, and {each} in each of {strata} strata.")
    order = [int(one) for one in np.lexsort((-flow.peak, -flow.backlog)) if requests[one] > 0]
    chosen = [Stratum((one,), (one,), float(requests[one])) for one in order[:worst]]
    rest = sorted(order[worst:], key=lambda one: (float(flow.peak[one]), one))
    if not rest or not strata:
        return chosen
    share = np.cumsum(requests[rest]) / requests[rest].sum()
    part = np.minimum((share * strata).astype(int), strata - 1)
    generator = np.random.default_rng(seed)
    for number in range(strata):
        windows = tuple(one for one, own in zip(rest, part, strict=True) if own == number)
        if windows:
            drawn = generator.choice(windows, size=min(each, len(windows)), replace=False)
            total = float(requests[list(windows)].sum())
            chosen.append(Stratum(windows, tuple(sorted(int(one) for one in drawn)), total))
    return chosen


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share of all requests, from some of the windows.

    Attributes:
        share: The estimate, by class, shape ``(classes,)``; NaN for a class that no window that was run had.
        error: Its standard error over the draws of windows, shape ``(classes,)``; a stratum of which a single
            window was run adds nothing, as its spread is not known.
        windows: Windows that were run.
    """

    share: NDArray[np.float64]
    error: NDArray[np.float64]
    windows: int


def estimate(
    chosen: Sequence[Stratum], run: Callable[[int], tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> Estimate:
    """Run the chosen windows, and weigh what came of them.

    Args:
        chosen: From `choose`.
        run: Runs one window exactly; returns requests within their objective, and all requests, by class.

    Raises:
        BadInput: No window was chosen.
    """
    parts, runs = [], 0
    for stratum in chosen:
        rows = [run(window) for window in stratum.drawn]
        within, asked = (np.array([row[place] for row in rows], dtype=np.float64) for place in (0, 1))
        weight = len(stratum.windows) / len(rows)
        parts.append((weight * within.sum(0), weight * asked.sum(0), _spread(stratum, within, asked)))
        runs += len(rows)
    if not parts:
        raise BadInput("No window was chosen.")
    good, total, spread = (np.sum([part[place] for part in parts], axis=0) for place in (0, 1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Estimate(good / total, np.sqrt(spread) / total, runs)


def _spread(stratum: Stratum, within: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance that a stratum adds to the sum of missed requests: windows that were not drawn may differ."""
    count, drawn = len(stratum.windows), len(stratum.drawn)
    if drawn < 2 or drawn == count:
        return np.zeros(within.shape[1])
    missed = asked - within
    variance: NDArray[np.float64] = missed.var(axis=0, ddof=1)
    return count**2 * (1 - drawn / count) * variance / drawn
