from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from offramp.certify.bounds import p_value
from offramp.certify.exam import Exam, prepare_units
from offramp.certify.terms import Terms
from offramp.certify.threshold import Curve, Outcome, candidates, forecast, measure, run_sequence
from offramp.certify.units import Drawing, Unit, Units, call_units
from offramp.core.errors import BadInput

CONFIDENCE = arrays(np.float64, st.integers(1, 60), elements=st.floats(0.0, 1.0, width=16))


def curve(counts: list[tuple[int, int]], n: int = 1000) -> Curve:
    answered, errors = np.array(counts, dtype=np.float64).T
    return Curve(np.linspace(0.9, 0.1, len(counts)), answered, errors, float(n))


def world(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    confidence = rng.random(n)
    return confidence, rng.random(n) < 0.02 + 0.5 * (1.0 - confidence) ** 2


@given(CONFIDENCE, st.data())
def test_measure_counts_what_is_at_or_above_each_threshold(
    confidence: np.ndarray, data: st.DataObject
) -> None:
    loss = data.draw(arrays(np.bool_, len(confidence)))
    thresholds = np.array([1.0, 0.75, 0.5, 0.25])
    found = measure(call_units(confidence, loss), thresholds)
    assert found.answered.tolist() == [int((confidence >= at).sum()) for at in thresholds]
    assert found.errors.tolist() == [int((loss & (confidence >= at)).sum()) for at in thresholds]
    assert found.n == len(confidence)


@given(CONFIDENCE)
def test_candidates_fall_stay_above_zero_and_end_with_everything(confidence: np.ndarray) -> None:
    found = candidates(call_units(confidence, confidence > 2.0))
    positive = confidence[confidence > 0.0]
    assert bool(np.all(np.diff(found) < 0.0))
    assert bool(np.isin(found, positive).all())
    assert not len(positive) or found[-1] == positive.min()


def test_candidates_are_equally_spaced_in_weighted_coverage() -> None:
    units = Units(np.array([0.9, 0.8, 0.7, 0.6]), np.full(4, -np.inf), np.array([2.0, 1.0, 1.0, 4.0]))
    assert candidates(units, 0.25).tolist() == [0.9, 0.7, 0.6]


def test_the_forecast_is_the_p_value_of_the_shrunk_expectation() -> None:
    validation = Curve(np.array([0.5, 0.2]), np.array([98.0, 0.0]), np.array([1.0, 0.0]), 196.0)
    found = forecast(validation, 0.05, 400)
    assert found[0] == pytest.approx(p_value(200, 4, 0.05))
    assert found[1] == 1.0


def examined(
    validation: tuple[np.ndarray, np.ndarray],
    calibration: tuple[np.ndarray, np.ndarray],
    promise: tuple[float, float],
) -> Outcome:
    """Fix the sequence on validation calls and run it on calibration calls, each a unit."""
    alpha, delta = promise
    terms = Terms(alpha=alpha, delta=delta)
    exam = prepare_units(call_units(*validation), Drawing(Unit.CALL), terms, len(calibration[0]))
    found = measure(call_units(*calibration), exam.curve.thresholds)
    return run_sequence(found, alpha, delta, exam.second)


def exam_of(confidence: np.ndarray, loss: np.ndarray, units: int) -> Exam:
    return prepare_units(call_units(confidence, loss), Drawing(Unit.CALL), Terms(alpha=0.1), units)


def test_the_starts_are_neither_the_strictest_nor_the_loosest() -> None:
    confidence, loss = world(np.random.default_rng(0), 2000)
    found = exam_of(confidence, loss, 2000)
    covered = [float((confidence >= found.curve.thresholds[at]).mean()) for at in (0, found.second)]
    assert 0.02 < covered[0] < 0.2 < covered[1] < 0.6
    assert found.curve.thresholds[-1] == confidence.min()


def test_no_validation_calls_give_no_thresholds_and_no_certificate() -> None:
    nothing = (np.empty(0), np.empty(0, dtype=np.bool_))
    outcome = examined(nothing, (np.ones(500), np.zeros(500, dtype=np.bool_)), (0.05, 0.05))
    assert (outcome.threshold, outcome.tested, outcome.n, outcome.risk_upper) == (None, 0, 500, 1.0)


def test_calls_that_cannot_be_answered_give_no_thresholds() -> None:
    assert len(exam_of(np.zeros(9), np.zeros(9, dtype=np.bool_), 100).forecasts) == 0


def test_the_last_threshold_that_passes_before_a_failure_is_certified() -> None:
    outcome = run_sequence(curve([(100, 0), (200, 2), (300, 100), (1000, 0)]), 0.05, 0.05)
    assert (outcome.answered, outcome.errors, outcome.tested) == (200, 2, 3)
    assert outcome.threshold == pytest.approx(0.9 - 0.8 / 3)
    assert outcome.risk == 0.01


def test_all_may_pass() -> None:
    outcome = run_sequence(curve([(100, 0), (200, 2)]), 0.05, 0.05)
    assert outcome.threshold == pytest.approx(0.1)
    assert outcome.tested == 2


COUNTS = st.lists(
    st.integers(0, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=8
)


@given(COUNTS, st.floats(0.01, 0.4), st.floats(0.001, 0.4))
def test_nothing_is_certified_when_the_first_test_fails(
    counts: list[tuple[int, int]], alpha: float, delta: float
) -> None:
    outcome = run_sequence(curve(counts), alpha, delta)
    assert (outcome.threshold is None) == (p_value(*counts[0], alpha) > delta)


@given(COUNTS, st.floats(0.01, 0.4), st.floats(0.001, 0.4))
def test_every_threshold_up_to_the_certified_one_passes(
    counts: list[tuple[int, int]], alpha: float, delta: float
) -> None:
    found = curve(counts)
    outcome = run_sequence(found, alpha, delta)
    passing = [p_value(*one, alpha) <= delta for one in counts]
    at = -1 if outcome.threshold is None else found.thresholds.tolist().index(outcome.threshold)
    assert all(passing[: at + 1])
    assert at + 1 == len(counts) or not passing[at + 1]
    assert outcome.threshold is None or outcome.risk_upper <= alpha + 1e-9


@given(COUNTS, st.floats(0.01, 0.2), st.floats(0.01, 0.2))
def test_a_looser_promise_certifies_no_stricter_threshold(
    counts: list[tuple[int, int]], alpha: float, more: float
) -> None:
    strict, loose = (
        run_sequence(curve(counts), promise, 0.05).threshold for promise in (alpha, alpha + more)
    )
    assert strict is None or (loose is not None and loose <= strict)


def test_thresholds_must_fall() -> None:
    found = curve([(100, 0), (200, 0)])
    with pytest.raises(BadInput, match="do not fall"):
        run_sequence(Curve(found.thresholds[::-1], found.answered, found.errors, found.n), 0.05, 0.05)


def naive(confidence: np.ndarray, loss: np.ndarray, alpha: float) -> float | None:
    units = call_units(confidence, loss)
    found = measure(units, candidates(units))
    good = np.flatnonzero(found.errors <= alpha * found.answered)
    return float(found.thresholds[good[-1]]) if len(good) else None


def test_the_promise_holds_in_simulation_and_a_naive_gate_breaks_it() -> None:
    """Risk at coverage x is 0.02 + x^2 / 6, so thresholds below 0.3072 break a promise of 0.1."""
    rng, alpha, delta, repeats = np.random.default_rng(5), 0.1, 0.1, 600
    limit = 1.0 - np.sqrt(0.08 * 6.0)
    ours = theirs = 0
    for _ in range(repeats):
        validation, calibration = world(rng, 300), world(rng, 300)
        chosen = examined(validation, calibration, (alpha, delta)).threshold
        tuned = naive(*validation, alpha)
        ours += chosen is not None and chosen < limit
        theirs += tuned is not None and tuned < limit
    assert p_value(repeats, repeats - ours, 1.0 - delta) > 0.001
    assert theirs > 0.3 * repeats


def test_a_risk_just_above_alpha_is_certified_at_most_delta_of_the_time() -> None:
    rng, alpha, delta, repeats = np.random.default_rng(6), 0.1, 0.1, 600
    broken = 0
    for _ in range(repeats):
        first, other = ((rng.random(300), rng.random(300) < alpha * 1.000001) for _ in range(2))
        broken += examined(first, other, (alpha, delta)).threshold is not None
    assert p_value(repeats, repeats - broken, 1.0 - delta) > 0.001
    assert broken > 0


CELLS = st.tuples(*[st.floats(0.0, 1.0)] * 4).filter(lambda cells: cells[0] + cells[1] > 0.01)


@given(CELLS, st.integers(1, 7), st.floats(0.05, 0.6), st.sampled_from([0.05, 0.2, 0.5]), st.integers(0, 1))
def test_in_every_small_world_a_threshold_that_is_too_loose_is_certified_no_more_often_than_promised(
    cells: tuple[float, ...], n: int, alpha: float, delta: float, second: int
) -> None:
    """All samples of sure and unsure calls, right and wrong, with the chance of each."""
    right, wrong, also_right, also_wrong = (cell / sum(cells) for cell in cells)
    risks = {0.9: wrong / (right + wrong), 0.5: wrong + also_wrong}
    broken = 0.0
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) > n:
            continue
        a, b, c = counts
        rest = n - sum(counts)
        found = run_sequence(
            Curve(np.array([0.9, 0.5]), np.array([a + b, n], float), np.array([b, b + rest], float), n),
            alpha,
            delta,
            second,
        )
        if found.threshold is not None and risks[found.threshold] > alpha:
            ways = math.factorial(n) / math.prod(math.factorial(k) for k in (*counts, rest))
            broken += ways * right**a * wrong**b * also_right**c * also_wrong**rest
    assert broken <= delta + 1e-9
