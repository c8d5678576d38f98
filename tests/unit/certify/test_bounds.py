from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from offramp.certify.bounds import (
    attainable_alpha,
    calls_at_rate,
    calls_for,
    check_share,
    interval,
    lower,
    p_value,
    p_values,
    upper,
)
from offramp.core.errors import BadInput

SHARES = st.floats(0.001, 0.5)
COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@given(COUNTS, SHARES)
def test_the_p_value_is_the_binomial_tail(counts: tuple[int, int], alpha: float) -> None:
    n, errors = counts
    assert p_value(n, errors, alpha) == pytest.approx(float(binom.cdf(errors, n, alpha)), abs=1e-12)


@given(COUNTS, SHARES)
def test_the_p_value_rises_with_errors_and_falls_with_units(counts: tuple[int, int], alpha: float) -> None:
    n, errors = counts
    here = p_value(n, errors, alpha)
    assert p_value(n + 1, errors, alpha) <= here + 1e-12
    assert errors == n or p_value(n, errors + 1, alpha) >= here - 1e-12


def test_p_values_are_taken_element_by_element() -> None:
    assert p_values([0, 10, 10], [0, 10, 0], 0.5).tolist() == [1.0, 1.0, pytest.approx(0.5**10)]


@given(COUNTS, SHARES)
def test_bounds_are_beta_quantiles(counts: tuple[int, int], delta: float) -> None:
    n, errors = counts
    high = float(beta.ppf(1.0 - delta, errors + 1, n - errors)) if errors < n else 1.0
    low = float(beta.ppf(delta, errors, n - errors + 1)) if errors else 0.0
    assert upper(n, errors, delta) == pytest.approx(high, abs=1e-9)
    assert lower(n, errors, delta) == pytest.approx(low, abs=1e-9)


@given(COUNTS, SHARES, SHARES)
def test_the_upper_bound_is_within_alpha_exactly_where_the_test_passes(
    counts: tuple[int, int], alpha: float, delta: float
) -> None:
    n, errors = counts
    value = p_value(n, errors, alpha)
    assume(abs(value - delta) > 1e-9)
    assert (upper(n, errors, delta) <= alpha) == (value <= delta)


@given(COUNTS, SHARES)
def test_the_interval_holds_the_point_and_is_wider_than_one_sided(
    counts: tuple[int, int], delta: float
) -> None:
    n, errors = counts
    low, high = interval(n, errors, delta)
    assert 0.0 <= low <= errors / n <= high <= 1.0
    assert low <= lower(n, errors, delta)
    assert high >= upper(n, errors, delta)


@given(COUNTS, SHARES)
def test_the_bounds_mirror_each_other(counts: tuple[int, int], delta: float) -> None:
    n, errors = counts
    assert upper(n, errors, delta) == pytest.approx(1.0 - lower(n, n - errors, delta), abs=1e-9)


def test_nothing_observed_bounds_nothing() -> None:
    assert interval(0, 0, 0.05) == (0.0, 1.0)
    assert p_value(0, 0, 0.05) == 1.0


@pytest.mark.parametrize("chance", [0.02, 0.1, 0.4])
def test_the_upper_bound_covers_as_often_as_it_says(chance: float) -> None:
    n, delta = 200, 0.1
    missed = sum(
        float(binom.pmf(errors, n, chance)) for errors in range(n + 1) if upper(n, errors, delta) < chance
    )
    assert 0.0 < missed <= delta


@pytest.mark.parametrize(("alpha", "calls"), [(0.05, 59), (0.02, 149), (0.01, 299)])
def test_calls_without_errors_are_the_known_numbers(alpha: float, calls: int) -> None:
    assert calls_for(alpha, 0.05) == calls


@given(SHARES, SHARES, st.integers(0, 30))
def test_calls_for_is_the_fewest_that_pass(alpha: float, delta: float, errors: int) -> None:
    calls = calls_for(alpha, delta, errors)
    assert p_value(calls, errors, alpha) <= delta
    assert calls - 1 <= errors or p_value(calls - 1, errors, alpha) > delta


@given(SHARES, SHARES, st.floats(0.0, 0.9))
def test_calls_at_a_rate_pass_and_one_fewer_does_not(alpha: float, delta: float, part: float) -> None:
    calls = calls_at_rate(alpha, delta, part * alpha)
    assert calls is not None
    assert float(p_values(calls, part * alpha * calls, alpha)) <= delta
    assert calls == 1 or float(p_values(calls - 1, part * alpha * (calls - 1), alpha)) > delta


def test_calls_at_no_errors_are_those_of_zero_errors() -> None:
    assert calls_at_rate(0.05, 0.05, 0.0) == calls_for(0.05, 0.05)


@given(SHARES, st.floats(0.0, 0.8), st.floats(0.01, 0.1))
def test_a_higher_rate_needs_no_fewer_calls(alpha: float, part: float, more: float) -> None:
    fewer, needed = (
        calls_at_rate(alpha, 0.05, part * alpha),
        calls_at_rate(alpha, 0.05, (part + more) * alpha),
    )
    assert fewer is not None
    assert needed is not None
    assert fewer <= needed


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.0499999])
def test_no_number_of_calls_certifies_a_rate_at_alpha(rate: float) -> None:
    assert calls_at_rate(0.05, 0.05, rate) is None


def test_alpha_is_not_asked_for_below_what_the_teacher_reaches_itself() -> None:
    assert attainable_alpha(0.05, None) == 0.05
    assert attainable_alpha(0.05, 0.99) == 0.05
    assert attainable_alpha(0.05, 0.9, slack=0.01) == pytest.approx(0.11)
    assert attainable_alpha(0.05, 0.0) == 0.99


@pytest.mark.parametrize("counts", [(3, 4), (3, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="at most the units"):
        upper(*counts, 0.05)
    with pytest.raises(BadInput, match="at most the units"):
        p_value(*counts, 0.05)


def test_negative_errors_are_refused() -> None:
    with pytest.raises(BadInput, match="0 or more"):
        calls_for(0.05, 0.05, -1)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_must_be_strictly_between_0_and_1(value: float) -> None:
    with pytest.raises(BadInput, match="alpha is"):
        check_share("alpha", value)


def test_interpolated_counts_lie_between_whole_ones() -> None:
    between = p_values(np.full(1, 100.0), [2.5], 0.05)[0]
    assert p_value(100, 2, 0.05) < between < p_value(100, 3, 0.05)
