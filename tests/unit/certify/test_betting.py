from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from offramp.certify.betting import Expected, SessionCounts, forecast, log_wealth, rejects, risk_upper
from offramp.certify.bounds import p_values

CAP = 3
SESSION = st.integers(0, CAP).flatmap(lambda a: st.tuples(st.just(a), st.integers(0, a)))
KIND = st.tuples(SESSION, st.floats(0.05, 1.0))
BELIEF = st.tuples(st.floats(0.01, float(CAP)), st.floats(0.1, 9.0))
DELTAS = st.sampled_from([0.05, 0.2, 0.5])


def counts(answered: np.ndarray, errors: np.ndarray, longest: float = CAP) -> SessionCounts:
    return SessionCounts(np.asarray(answered, np.float64), np.asarray(errors, np.float64), longest)


def expected(belief: tuple[float, float], tests: int) -> Expected:
    return Expected(np.full(tests, belief[0]), np.full(tests, belief[1]))


def simulated(risk: float, shape: tuple[int, int, int], rng: np.random.Generator) -> SessionCounts:
    """Sessions whose calls share their session's luck in four cases of five."""
    tests, sessions, length = shape
    shared = rng.random((tests, sessions, 1))
    luck = np.where(rng.random(shape) < 0.8, shared, rng.random(shape))
    return counts(np.full((tests, sessions), length), (luck < risk).sum(axis=-1), length)


@given(st.lists(KIND, min_size=2, max_size=4), st.integers(1, 5), BELIEF, DELTAS)
@settings(max_examples=60)
def test_in_every_small_world_a_true_risk_is_rejected_at_most_as_often_as_promised(
    kinds: list[tuple[tuple[int, int], float]], sessions: int, belief: tuple[float, float], delta: float
) -> None:
    """All sequences of sessions, whatever binds the calls of one, and whatever is expected of them."""
    answered, errors = np.array([kind for kind, _ in kinds], dtype=np.float64).T
    share = np.array([weight for _, weight in kinds])
    share /= share.sum()
    assume(0.02 < share @ errors < 0.98 * (share @ answered))
    risk = float(share @ errors / (share @ answered))
    rows = np.array(list(itertools.product(range(len(kinds)), repeat=sessions)))
    found = rejects(counts(answered[rows], errors[rows]), expected(belief, len(rows)), risk, delta)
    assert float(share[rows].prod(axis=1)[found].sum()) <= delta + 1e-9


def test_a_risk_of_exactly_alpha_is_rejected_no_more_often_than_promised_in_long_sequences() -> None:
    rng = np.random.default_rng(3)
    for length in (1, 5):
        found = rejects(simulated(0.1, (2000, 300, length), rng), expected((length, 1.0), 2000), 0.1, 0.1)
        assert found.mean() < 0.1 + 3.0 * math.sqrt(0.1 * 0.9 / 2000)


def test_with_one_call_a_session_it_rejects_about_as_often_as_the_exact_test() -> None:
    seen = simulated(0.04, (1000, 400, 1), np.random.default_rng(4))
    bets = rejects(seen, expected((1.0, 1.0), 1000), 0.08, 0.05).mean()
    exact = (p_values(seen.answered.sum(axis=-1), seen.errors.sum(axis=-1), 0.08) <= 0.05).mean()
    assert bets > 0.9 * exact > 0.5


def test_sessions_that_answer_nothing_prove_nothing() -> None:
    nothing = counts(np.zeros((2, 50)), np.zeros((2, 50)))
    assert log_wealth(nothing, expected((1.0, 1.0), 2), 0.1, 0.05).tolist() == [0.0, 0.0]
    assert log_wealth(
        counts(np.zeros((2, 0)), np.zeros((2, 0))), expected((1.0, 1.0), 2), 0.1, 0.05
    ).tolist() == [
        0.0,
        0.0,
    ]


def test_betting_ends_where_the_risk_is_rejected() -> None:
    good = counts(np.ones((1, 500)), np.zeros((1, 500)), 1)
    assert log_wealth(good, expected((1.0, 1.0), 1), 0.1, 0.05)[0] == pytest.approx(math.log(20.0))


@given(st.lists(SESSION, min_size=1, max_size=80), BELIEF, st.floats(0.02, 0.5), DELTAS)
@settings(max_examples=40)
def test_the_bound_is_within_alpha_exactly_where_alpha_is_certified(
    sessions: list[tuple[int, int]], belief: tuple[float, float], alpha: float, delta: float
) -> None:
    seen = counts(*np.array(sessions, dtype=np.float64).T)
    believed = Expected(np.array(belief[0]), np.array(belief[1]))
    bound = risk_upper(seen, believed, delta, alpha)
    assert 0.0 < bound <= 1.0
    assert (bound <= alpha) == bool(rejects(seen, believed, alpha, delta))


def test_the_bound_comes_down_to_the_risk_with_more_sessions() -> None:
    believed = Expected(np.array(5.0), np.array(3.0))
    bounds = [
        risk_upper(SessionCounts(seen.answered[0], seen.errors[0], seen.longest), believed, 0.05, 0.1)
        for seen in (simulated(0.02, (1, n, 5), np.random.default_rng(5)) for n in (20, 200, 2000))
    ]
    assert bounds[0] > bounds[1] > bounds[2]
    assert 0.02 < bounds[2] < 0.04


def test_the_bound_of_a_risk_that_is_too_high_says_how_high_it_may_be() -> None:
    seen = simulated(0.3, (1, 400, 2), np.random.default_rng(6))
    bound = risk_upper(
        SessionCounts(seen.answered[0], seen.errors[0], 2.0),
        Expected(np.array(2.0), np.array(1.8)),
        0.05,
        0.05,
    )
    assert 0.3 < bound < 0.45


@given(
    st.floats(0.0, 0.3),
    st.floats(0.001, 0.3),
    BELIEF,
    st.floats(0.01, 0.4),
    st.floats(10.0, 1e4),
    st.integers(1, 9),
)
def test_the_forecast_falls_with_sessions_and_rises_with_risk(
    risk: float, more: float, belief: tuple[float, float], alpha: float, n: float, cap: int
) -> None:
    here, worse = forecast(n, np.array([risk, min(risk + more, 1.0)]), expected(belief, 2), alpha, cap)
    (later,) = forecast(2.0 * n, np.array([risk]), expected(belief, 1), alpha, cap)
    assert 0.0 <= later <= here + 1e-9
    assert worse <= 1.0
    assert risk < alpha or here == 1.0


@pytest.mark.parametrize(("risk", "sessions"), [(0.02, 200), (0.01, 150), (0.05, 800)])
def test_where_the_p_value_is_forecast_at_delta_a_good_share_of_samples_reject(
    risk: float, sessions: int
) -> None:
    alpha, length, clump = 0.1, 5, 1.0 + 4.0 * 0.64
    believed = Expected(np.array([float(length)]), np.array([clump]))
    (p,) = forecast(sessions, np.array([risk]), believed, alpha, length)
    seen = simulated(risk, (400, sessions, length), np.random.default_rng(7))
    found = rejects(seen, expected((length, clump), 400), alpha, float(np.clip(p, 1e-6, 0.5))).mean()
    assert 0.2 < found < 0.9


@pytest.mark.parametrize(("alpha", "sessions"), [(0.1, 29), (0.05, 59), (0.02, 149)])
def test_without_errors_it_takes_as_many_sessions_as_the_exact_test_takes_calls(
    alpha: float, sessions: int
) -> None:
    for length in (1, 5):
        good = [counts(np.full((1, n), length), np.zeros((1, n)), length) for n in (sessions - 1, sessions)]
        found = [bool(rejects(one, expected((length, 1.0), 1), alpha, 0.05)[0]) for one in good]
        assert found == [False, True]
