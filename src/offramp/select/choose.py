"""The choice between candidates, made on validation data alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from offramp.core.ladder import LADDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KINDS = ("cache", "template", "classifier", "extractive", "lora")
"""What a night tries without being asked to."""

MARGIN = 0.02
"""How much less coverage than the best's is still good enough for a candidate that costs less to run."""

LEAST_COVERAGE = 0.02

DRAWS = 100
"""Times that sessions are drawn anew for a range."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate, measured on validation calls.

    Attributes:
        kind: One of `offramp.core.ladder.LADDER`.
        calls: Validation calls.
        agreement: Share of them it answers as the teacher did.
        coverage: Share it is expected to be certified for (see `expected_coverage`).
        seconds: Time spent on training and measuring it.
        note: Why it was not tried, or not to the end.
        per_call: Measured seconds of one answer, asked in batches.
        usd_per_1000: What 1,000 calls cost: the device while it is busy, and what a provider bills.
        verdict: What the choice made of it, in words.
    """

    kind: str
    calls: int
    agreement: float
    coverage: float
    seconds: float
    note: str = ""
    per_call: float = 0.0
    usd_per_1000: float = 0.0
    verdict: str = ""


def expected_coverage(
    confidence: NDArray[np.float64],
    loss: NDArray[np.float64],
    alpha: float,
    delta: float,
    *,
    times: float = 1.0,
) -> float:
    """Estimate the coverage a certificate would reach, from validation calls.

    The largest share of calls, most confident first, on which the Clopper-Pearson upper bound of the
    risk stays within alpha, were as large a share wrong of as many calls as the certificate rests on. It
    looks at every threshold, so it is optimistic: good enough to rank candidates, never to promise anything.

    Args:
        confidence: Shape (calls,).
        loss: 1.0 where the answer disagrees with the teacher's, shape (calls,).
        alpha: Largest risk.
        delta: One minus the confidence level.
        times: Calibration calls for each validation call.
    """
    if not len(confidence):
        return 0.0
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    errors = np.cumsum(loss[order])
    upper = beta.ppf(1 - delta, times * errors + 1, np.maximum(times * (answered - errors), 1e-9))
    # A threshold cannot part calls of equal confidence.
    last_of_tie = np.append(np.diff(confidence[order]) != 0, [True])
    passing = np.flatnonzero((upper <= alpha) & last_of_tie)
    return float(answered[passing[-1]] / len(order)) if len(passing) else 0.0


def coverage_range(
    confidence: NDArray[np.float64],
    loss: NDArray[np.float64],
    sessions: Sequence[str],
    bound: tuple[float, float],
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """Estimate between which values `expected_coverage` lies, by drawing the sessions anew.

    Args:
        confidence: Shape (calls,).
        loss: Shape (calls,).
        sessions: Session of each call; calls of one session are drawn together, for they resemble each other.
        bound: Alpha and delta.
        seed: Seed of the draws.

    Returns:
        The 5 % and the 95 % quantile.
    """
    if not len(confidence):
        return 0.0, 0.0
    rows: dict[str, list[int]] = {}
    for row, session in enumerate(sessions):
        rows.setdefault(session, []).append(row)
    groups = [np.array(found) for _, found in sorted(rows.items())]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        drawn = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        found.append(expected_coverage(confidence[drawn], loss[drawn], *bound))
    return float(np.quantile(found, 0.05)), float(np.quantile(found, 0.95))


def choose(trials: Sequence[Trial]) -> Trial:
    """Take the cheapest candidate within a margin of the best coverage.

    Returns:
        The chosen trial; keeping the LLM where no candidate reaches two per cent of the calls.
    """
    tried = [trial for trial in trials if trial.coverage >= LEAST_COVERAGE]
    if not tried:
        return Trial("keep_llm", max((t.calls for t in trials), default=0), 1.0, 0.0, 0.0)
    best = max(trial.coverage for trial in tried)
    near = [trial for trial in tried if trial.coverage >= best - MARGIN]
    return min(near, key=lambda trial: LADDER.index(trial.kind))


def explain(trials: Sequence[Trial], chosen: Trial) -> list[Trial]:
    """Write on every trial what the choice made of it.

    Args:
        trials: What was measured.
        chosen: What `choose` took of them.
    """
    best = max(trials, key=lambda trial: trial.coverage, default=chosen)
    return [replace(trial, verdict=_verdict(trial, chosen, best)) for trial in trials]


def _verdict(trial: Trial, chosen: Trial, best: Trial) -> str:
    if chosen.kind == "keep_llm":
        return f"could answer {trial.coverage:.0%}, too little to leave the LLM for"
    if trial.kind == chosen.kind:
        if trial.kind == best.kind:
            return "chosen: the best, and nothing cheaper to run comes near"
        return f"chosen: within {100 * MARGIN:.0f} points of the best ({best.kind}), and cheaper to run"
    below = best.coverage - trial.coverage
    if below <= MARGIN:
        return f"about as good as the best, but {chosen.kind} is cheaper to run"
    return f"{100 * below:.0f} points below the best ({best.kind})"
