"""The threshold: Learn then Test by fixed-sequence testing (Angelopoulos et al., arXiv 2110.01052).

A list of thresholds, strict to loose, is fixed on validation data. On calibration data each is tested in
turn (H0: risk >= alpha, exact binomial) at delta or half of it, up to the first that fails; the last that
passed is certified. The chance of certifying any threshold whose risk exceeds alpha is at most delta:
that needs the first such threshold of a sequence to pass (``starts`` has the argument).

Where the list starts decides everything. The rule:

1. Candidates are the thresholds at which 0.5, 1, ..., 100 % of the validation units would be answered.
2. For each, the calibration p-value is forecast from validation alone: as many answered units as its
   coverage promises, with a risk shrunk towards one half by one error and one success (Laplace).
3. The list has two starts, the strictest candidate that should pass and that of the smallest forecast, which
   share delta (``starts``); all looser candidates follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from offramp.certify.bounds import check_share, p_values, upper
from offramp.certify.starts import walk
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.certify.units import Bools, Floats, Units

STEP = 0.005
"""Distance of neighbouring thresholds in coverage of the validation units."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What happens at each threshold, strict to loose.

    Attributes:
        thresholds: Falling, shape (t,).
        answered: Weight of the units answered at each, shape (t,).
        errors: Of those, weight of the disagreements, shape (t,).
        n: Weight of all units.
    """

    thresholds: Floats
    answered: Floats
    errors: Floats
    n: float

    def at(self, rows: slice) -> Curve:
        """Return what happens at some of the thresholds."""
        return Curve(self.thresholds[rows], self.answered[rows], self.errors[rows], self.n)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one sequence of tests.

    Attributes:
        threshold: The certified threshold; None where the first test failed (keep the LLM).
        n: Calibration units. Counts are whole, but where long sessions weigh less: then they are rounded.
        answered: Units answered at the certified threshold, or at the first one where none is certified.
        errors: Of those, disagreements.
        risk: errors / answered before any rounding, 0 where nothing was answered.
        risk_upper: Upper bound on the risk there by the same test (for draws it is that of Clopper and
            Pearson), at one minus the test's part of delta; at most alpha exactly where a threshold is
            certified.
        tested: Tests made, the failed one included.
    """

    threshold: float | None
    n: int
    answered: int
    errors: int
    risk: float
    risk_upper: float
    tested: int


def measure(units: Units, thresholds: Floats) -> Curve:
    """Count answered units and disagreements at each threshold (answered: score >= threshold)."""
    return Curve(
        thresholds=thresholds,
        answered=_at_least(units.answer_at, units.weight, thresholds),
        errors=_at_least(units.error_at, units.weight, thresholds),
        n=float(units.weight.sum()),
    )


def candidates(units: Units, step: float = STEP) -> Floats:
    """Return the thresholds at which ``step``, ``2 step``, ..., all of the units are answered, falling.

    Only scores above 0 are thresholds: 0 is the confidence of calls that cannot be answered.
    """
    check_share("step", step)
    held = units.answer_at > 0.0
    order = np.argsort(-units.answer_at[held], kind="stable")
    scores, mass = units.answer_at[held][order], np.cumsum(units.weight[held][order])
    if not len(scores):
        return np.empty(0)
    wanted = np.append(np.arange(step, 1.0, step), 1.0) * float(units.weight.sum())
    rows = np.minimum(np.searchsorted(mass, wanted - 1e-9), len(scores) - 1)
    return np.asarray(np.unique(scores[rows])[::-1], dtype=np.float64)


def shrunk_risk(curve: Curve) -> Floats:
    """Return the share of the answered that disagree, shrunk by one error and one success, shape (t,)."""
    return (curve.errors + 1.0) / (curve.answered + 2.0)


def forecast(validation: Curve, alpha: float, units: int) -> Floats:
    """Forecast the p-value that each threshold will have on ``units`` calibration units, shape (t,)."""
    check_share("alpha", alpha)
    risk = shrunk_risk(validation)
    answered = units * validation.answered / max(validation.n, 1e-300)
    expected = np.maximum(answered, 1e-9)
    values = betainc(expected * (1.0 - risk), expected * risk + 1.0, 1.0 - alpha)
    return np.where(answered > 0.0, values, 1.0)


def run_sequence(calibration: Curve, alpha: float, delta: float, second: int = 0) -> Outcome:
    """Test each threshold in turn and stop at the first failure.

    Args:
        calibration: Counts of independent units, all of weight 1, at thresholds that were fixed without
            them.
        alpha: The risk to certify.
        delta: Probability of certifying a threshold whose risk exceeds alpha, at most.
        second: Where the second start is (see ``starts``), 0 for none.

    Raises:
        BadInput: Thresholds that do not fall.
    """
    check_share("delta", delta)
    if bool(np.any(np.diff(calibration.thresholds) >= 0.0)):
        raise BadInput("Thresholds do not fall from strict to loose, as they must.")
    n, total = round(calibration.n), len(calibration.thresholds)
    if not total:
        return Outcome(None, n, 0, 0, 0.0, 1.0, 0)
    values = p_values(calibration.answered, calibration.errors, alpha)
    result = walk(total, second, delta, lambda rows, level: before_failure(values[rows] <= level))
    at = max(result.passed - 1, 0)
    answered, errors = round(float(calibration.answered[at])), round(float(calibration.errors[at]))
    return Outcome(
        threshold=float(calibration.thresholds[at]) if result.passed else None,
        n=n,
        answered=answered,
        errors=errors,
        risk=errors / answered if answered else 0.0,
        risk_upper=upper(answered, errors, result.level),
        tested=result.tested,
    )


def before_failure(passed: Bools) -> int:
    """Return how many pass before the first that does not."""
    return len(passed) if bool(passed.all()) else int(np.argmin(passed))


def _at_least(scores: Floats, weight: Floats, thresholds: Floats) -> Floats:
    """Sum the weight of scores at or above each threshold."""
    order = np.argsort(scores, kind="stable")
    tail = np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)
    return np.asarray(tail[np.searchsorted(scores[order], thresholds, side="left")], dtype=np.float64)
