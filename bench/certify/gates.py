"""Gates that certify a threshold, or only say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.betting import Expected, SessionCounts, rejects
from offramp.certify.exam import Exam, prepare_sessions, prepare_units
from offramp.certify.sessions import CHUNK, session_counts
from offramp.certify.terms import Terms
from offramp.certify.threshold import before_failure, candidates, measure, run_sequence
from offramp.certify.units import Drawing, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.certify.worlds import Sample
    from numpy.typing import NDArray

    from offramp.certify.units import Units

DELTA = 0.05


def certified(
    pairs: Sequence[tuple[Sample, Sample]], alpha: float, rng: np.random.Generator
) -> list[float | None]:
    """What offramp certifies for each pair of validation and calibration calls."""
    if pairs[0][0].cap == 1:
        return [_drawn(validation, calibration, alpha, rng) for validation, calibration in pairs]
    drawing, terms = Drawing(Unit.EVERY, cap=pairs[0][0].cap), Terms(alpha=alpha, delta=DELTA)
    exams = [prepare_sessions(one.whole, drawing, terms, other.sessions) for one, other in pairs]
    return _bet([calibration for _, calibration in pairs], exams, alpha)


def one_a_session(
    validation: Sample, calibration: Sample, alpha: float, rng: np.random.Generator
) -> float | None:
    """One call a session, whatever sessions are like: another promise, and no bound for a share of calls."""
    return _drawn(validation, calibration, alpha, rng)


def every_row(validation: Sample, calibration: Sample, alpha: float) -> float | None:
    """The exact test, counting every call as if calls were independent."""
    return exact(validation.rows, calibration.rows, alpha)


def tuned(validation: Sample, alpha: float) -> float | None:
    """The loosest threshold whose validation risk is at most alpha; no bound."""
    curve = measure(validation.rows, candidates(validation.rows))
    good = np.flatnonzero(curve.errors <= alpha * curve.answered)
    return float(curve.thresholds[good[-1]]) if len(good) else None


def checked(threshold: float | None, calibration: Sample, alpha: float) -> float | None:
    """A tuned threshold, kept where the calibration risk is at most alpha as well; still no bound."""
    if threshold is None:
        return None
    curve = measure(calibration.rows, np.array([threshold]))
    answered, errors = float(curve.answered[0]), float(curve.errors[0])
    return threshold if answered and errors <= alpha * answered else None


def _drawn(validation: Sample, calibration: Sample, alpha: float, rng: np.random.Generator) -> float | None:
    units = calibration.drawn(rng)
    return exact(validation.drawn(rng), units, alpha)


def exact(validation: Units, calibration: Units, alpha: float, delta: float = DELTA) -> float | None:
    """The exact test on independent units."""
    terms = Terms(alpha=alpha, delta=delta)
    exam = prepare_units(validation, Drawing(Unit.CALL), terms, len(calibration.weight))
    curve = measure(calibration, exam.curve.thresholds)
    return run_sequence(curve, alpha, delta, exam.second).threshold


def _bet(samples: Sequence[Sample], exams: Sequence[Exam], alpha: float) -> list[float | None]:
    """Do what ``exam.sit`` does, for many repeats at a time."""
    rows, seconds = np.arange(len(exams)), np.array([exam.second for exam in exams])
    totals = np.array([len(exam.forecasts) for exam in exams])
    early = _passes(samples, exams, (0 * seconds, seconds), (alpha, DELTA / 2.0))
    late = np.zeros(len(exams), dtype=np.intp)
    for arrived, level in ((early == seconds, DELTA), (early < seconds, DELTA / 2.0)):
        some = rows[arrived]
        stretch = (seconds[some], totals[some])
        late[some] = _passes(
            [samples[row] for row in some], [exams[row] for row in some], stretch, (alpha, level)
        )
    passed = np.where(late > 0, seconds + late, early)
    return [
        float(exam.curve.thresholds[passes - 1]) if passes else None
        for exam, passes in zip(exams, passed.tolist(), strict=True)
    ]


def _passes(
    samples: Sequence[Sample],
    exams: Sequence[Exam],
    stretch: tuple[NDArray[np.intp], NDArray[np.intp]],
    promise: tuple[float, float],
) -> NDArray[np.intp]:
    """Count the thresholds of a stretch that pass before the first failure, for each repeat."""
    starts, stops = stretch
    lengths, passed, running = stops - starts, np.zeros(len(exams), dtype=np.intp), list(range(len(exams)))
    for done in range(0, int(lengths.max(initial=0)), CHUNK):
        running = [row for row in running if done < lengths[row] and passed[row] == done]
        if not running:
            break
        pairs = [(samples[row], exams[row]) for row in running]
        found = rejects(*_stacked(pairs, starts[running] + done), *promise)
        for row, tests in zip(running, found, strict=True):
            most = min(CHUNK, int(lengths[row]) - done)
            passed[row] = done + before_failure(tests[:most])
    return passed


def _stacked(
    pairs: Sequence[tuple[Sample, Exam]], starts: NDArray[np.intp]
) -> tuple[SessionCounts, Expected]:
    """Count at the same stretch of each repeat's thresholds; short ones repeat their last threshold."""
    counts, means, clumps = [], [], []
    for (sample, exam), start in zip(pairs, starts.tolist(), strict=True):
        assert exam.expected is not None, "whole sessions have expectations"
        rows = np.minimum(np.arange(start, start + CHUNK), len(exam.forecasts) - 1)
        counts.append(session_counts(sample.whole, exam.curve.thresholds[rows]))
        means.append(exam.expected.answered[rows])
        clumps.append(exam.expected.clump[rows])
    answered, errors = (np.stack([getattr(one, name) for one in counts]) for name in ("answered", "errors"))
    stacked = SessionCounts(answered, errors, counts[0].longest)
    return stacked, Expected(np.stack(means), np.stack(clumps))
