"""One exam: thresholds fixed on validation calls, then tested in turn on calibration calls, once.

Draws of independent units take the exact binomial test (``threshold``), whole sessions are bet on
(``sessions``, ``betting``). Either way the sequence has the two starts that validation chooses (``starts``),
and all looser candidates follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from offramp.certify import betting, threshold
from offramp.certify.betting import Expected, SessionCounts
from offramp.certify.bounds import calls_at_rate
from offramp.certify.sessions import by_session, passes, see, session_counts
from offramp.certify.starts import two_starts, walk
from offramp.certify.threshold import Curve, Outcome, before_failure, candidates, measure, run_sequence
from offramp.certify.units import Unit, Units, calibration_units, kept_share, validation_units

if TYPE_CHECKING:
    from offramp.certify.sessions import Sessions
    from offramp.certify.terms import Terms
    from offramp.certify.units import Drawing, Floats, ScoredCalls

_MOST: Final = 1e9
"""No count of sessions beyond this is worth telling."""
_HALVINGS: Final = 60


@dataclass(frozen=True, slots=True)
class Exam:
    """What is to be tested, fixed on validation calls.

    Attributes:
        drawing: How units are drawn or sessions counted.
        curve: Validation calls at the thresholds, strict to loose.
        expected: What validation expects of a session at each threshold; None for draws.
        length: Mean calls of a validation session, as they count.
        forecasts: The p-value that calibration calls are expected to give each threshold, shape (t,).
        second: Where the second start of the sequence is, 0 for none.
    """

    drawing: Drawing
    curve: Curve
    expected: Expected | None
    length: float
    forecasts: Floats
    second: int = 0

    def at(self, rows: slice) -> Exam:
        """Return the exam of some of the thresholds."""
        expected = None if self.expected is None else self.expected.at(rows)
        return replace(self, curve=self.curve.at(rows), expected=expected, forecasts=self.forecasts[rows])

    def at_starts(self) -> Exam:
        """Return the exam of the thresholds where its sequence starts."""
        return self.at(slice(0, self.second + 1, max(self.second, 1)))

    def promised(self, delta: float) -> tuple[float, float]:
        """Return the loosest threshold that should be certified, and the coverage there.

        Where none should be, that is the first threshold and a coverage of 0; without any threshold,
        infinity: nothing is answered.
        """
        thresholds = self.curve.thresholds
        if not len(thresholds):
            return np.inf, 0.0
        passed = walk(
            len(thresholds),
            self.second,
            delta,
            lambda rows, level: before_failure(self.forecasts[rows] <= level),
        ).passed
        if not passed:
            return float(thresholds[0]), 0.0
        return float(thresholds[passed - 1]), float(self.curve.answered[passed - 1]) / self.curve.n


def prepare(validation: ScoredCalls, drawing: Drawing, terms: Terms, sessions: int) -> Exam:
    """Fix start and grid of the thresholds.

    Args:
        validation: Validation calls.
        drawing: How units are drawn.
        terms: What is to be promised.
        sessions: Calibration sessions there are (a count, known without looking at them).
    """
    if drawing.unit is Unit.EVERY:
        return prepare_sessions(by_session(validation, drawing), drawing, terms, sessions)
    units = round(sessions * kept_share(validation, drawing))
    return prepare_units(validation_units(validation, drawing), drawing, terms, units)


def prepare_units(validation: Units, drawing: Drawing, terms: Terms, units: int) -> Exam:
    """Fix start and grid of the thresholds for draws, see ``prepare``.

    Args:
        validation: Validation units.
        drawing: How units are drawn.
        terms: What is to be promised.
        units: Calibration units there are.
    """
    thresholds = candidates(validation, terms.step)
    return _started(_of_units(validation, drawing, thresholds, terms.alpha, units), terms.delta)


def prepare_sessions(validation: Sessions, drawing: Drawing, terms: Terms, sessions: int) -> Exam:
    """Fix start and grid of the thresholds for whole sessions, see ``prepare``."""
    units = Units(validation.answer_at, validation.error_at, validation.weight)
    thresholds = candidates(units, terms.step)
    return _started(_of_sessions(validation, drawing, thresholds, terms.alpha, sessions), terms.delta)


def at_thresholds(
    validation: ScoredCalls, drawing: Drawing, thresholds: Floats, alpha: float, sessions: int
) -> Exam:
    """Make an exam of given thresholds, see ``prepare``."""
    if drawing.unit is Unit.EVERY:
        return _of_sessions(by_session(validation, drawing), drawing, thresholds, alpha, sessions)
    units = round(sessions * kept_share(validation, drawing))
    return _of_units(validation_units(validation, drawing), drawing, thresholds, alpha, units)


def _of_units(validation: Units, drawing: Drawing, thresholds: Floats, alpha: float, units: int) -> Exam:
    curve = measure(validation, thresholds)
    return Exam(drawing, curve, None, 1.0, threshold.forecast(curve, alpha, units))


def _of_sessions(
    validation: Sessions, drawing: Drawing, thresholds: Floats, alpha: float, sessions: int
) -> Exam:
    seen = see(validation, thresholds)
    risk = threshold.shrunk_risk(seen.curve)
    forecasts = betting.forecast(sessions, risk, seen.expected, alpha, drawing.cap)
    return Exam(drawing, seen.curve, seen.expected, seen.curve.n / max(seen.sessions, 1), forecasts)


def _started(exam: Exam, delta: float) -> Exam:
    """Leave out the thresholds before the first start."""
    if not len(exam.forecasts):
        return exam
    first, second = two_starts(exam.forecasts, delta)
    return replace(exam.at(slice(first, None)), second=second - first)


def sit(exam: Exam, calibration: ScoredCalls, alpha: float, delta: float) -> Outcome:
    """Test the thresholds in turn, up to the first that fails."""
    thresholds, expected = exam.curve.thresholds, exam.expected
    if expected is None:
        curve = measure(calibration_units(calibration, exam.drawing), thresholds)
        return run_sequence(curve, alpha, delta, exam.second)
    sessions = by_session(calibration, exam.drawing)
    result = walk(
        len(thresholds),
        exam.second,
        delta,
        lambda rows, level: passes(sessions, (thresholds[rows], expected.at(rows)), (alpha, level)),
    )
    passed = result.passed
    at = slice(max(passed - 1, 0), max(passed, 1))
    counts = session_counts(sessions, thresholds[at])
    answered, errors = float(counts.answered.sum()), float(counts.errors.sum())
    return Outcome(
        threshold=float(thresholds[passed - 1]) if passed else None,
        n=round(float(sessions.weight.sum())),
        answered=round(answered),
        errors=round(errors),
        risk=errors / answered if answered else 0.0,
        risk_upper=_upper(counts, expected.at(at), alpha, result.level) if answered else 1.0,
        tested=result.tested,
    )


def units_needed(exam: Exam, calibration: ScoredCalls, alpha: float, delta: float) -> int | None:
    """Return about how many units in all would certify a start at its present risk and coverage.

    A start at which no calibration call is answered is judged by validation calls. Where there is no
    calibration call at all, no start could be chosen, and every threshold is looked at.

    Returns:
        Calls for whole sessions, draws otherwise; None where the present risk is too high.
    """
    promise = (alpha, delta / 2.0 if exam.second else delta)
    exam = exam.at_starts() if len(calibration.call) else exam
    thresholds = exam.curve.thresholds
    if exam.expected is None:
        curve = measure(calibration_units(calibration, exam.drawing), thresholds)
        rows = [
            (source.n, float(source.answered[at]), float(source.errors[at]))
            for at in range(len(thresholds))
            for source in (curve if curve.answered[at] else exam.curve,)
        ]
        totals = [total for row in rows if (total := _draws_needed(*row, promise)) is not None]
        return min(totals, default=None)
    seen = see(by_session(calibration, exam.drawing), thresholds)
    held, curve = seen.curve.answered > 0.0, seen.curve
    errors, answered, mean, clump = (
        np.where(held, here, there)
        for here, there in (
            (curve.errors, exam.curve.errors),
            (curve.answered, exam.curve.answered),
            (seen.expected.answered, exam.expected.answered),
            (seen.expected.clump, exam.expected.clump),
        )
    )
    risk = errors / np.maximum(answered, 1e-9)
    sessions = _sessions_needed(risk, Expected(mean, clump), promise, exam.drawing.cap)
    length = curve.n / seen.sessions if seen.sessions else exam.length
    return None if sessions is None else math.ceil(sessions * length)


def _draws_needed(n: float, answered: float, errors: float, promise: tuple[float, float]) -> int | None:
    if answered <= 0.0:
        return None
    needed = calls_at_rate(*promise, errors / answered)
    return None if needed is None else math.ceil(needed * n / answered)


def _sessions_needed(
    risk: Floats, expected: Expected, promise: tuple[float, float], cap: int
) -> float | None:
    """Return the fewest sessions with which the forecast of any threshold passes."""
    alpha, delta = promise
    low, high = np.zeros(len(risk)), np.full(len(risk), _MOST)
    able = betting.forecast(high, risk, expected, alpha, cap) <= delta
    if not able.any():
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        enough = betting.forecast(middle, risk, expected, alpha, cap) <= delta
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return float(high[able].min())


def _upper(counts: SessionCounts, expected: Expected, alpha: float, delta: float) -> float:
    flat = SessionCounts(counts.answered[0], counts.errors[0], counts.longest)
    return betting.risk_upper(flat, Expected(expected.answered[0], expected.clump[0]), delta, alpha)
