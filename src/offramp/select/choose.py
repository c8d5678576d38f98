"""The choice between candidates, made on validation data alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from offramp.core.ladder import LADDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KINDS = ("cache", "template", "classifier", "lora")
"""What a night tries without being asked to."""

MARGIN = 0.02
LEAST_COVERAGE = 0.02


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate, measured on validation calls.

    Attributes:
        kind: One of `offramp.core.ladder.LADDER`.
        calls: Validation calls.
        agreement: Share of them it answers as the teacher did.
        coverage: Share it is expected to be certified for (see `expected_coverage`).
        seconds: Time spent on training and measuring it.
        note: Why it was not tried, where it was not.
    """

    kind: str
    calls: int
    agreement: float
    coverage: float
    seconds: float
    note: str = ""


def expected_coverage(
    confidence: NDArray[np.float64], loss: NDArray[np.float64], alpha: float, delta: float
) -> float:
    """Estimate the coverage a certificate would reach, from validation calls.

    The largest share of calls, most confident first, on which the Clopper-Pearson upper bound of the
    risk stays within alpha. It looks at every threshold, so it is optimistic: good enough to rank
    candidates, never to promise anything.

    Args:
        confidence: Shape (calls,).
        loss: 1.0 where the answer disagrees with the teacher's, shape (calls,).
        alpha: Largest risk.
        delta: One minus the confidence level.
    """
    if not len(confidence):
        return 0.0
    order = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(order) + 1)
    errors = np.cumsum(loss[order])
    upper = beta.ppf(1 - delta, errors + 1, np.maximum(answered - errors, 1e-9))
    # A threshold cannot part calls of equal confidence.
    last_of_tie = np.append(np.diff(confidence[order]) != 0, [True])
    passing = np.flatnonzero((upper <= alpha) & last_of_tie)
    return float(answered[passing[-1]] / len(order)) if len(passing) else 0.0


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
