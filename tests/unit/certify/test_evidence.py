from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from offramp.certify.bounds import interval, p_value
from offramp.certify.evidence import confidence_sequence, log_evidence
from offramp.core.errors import BadInput

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
RISKS = st.floats(0.005, 0.6)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("risk", [0.02, 0.05, 0.4])
def test_the_evidence_has_mean_one_at_the_risk_it_bets_against(risk: float, above: bool) -> None:
    errors = np.arange(61)
    chances = np.asarray(binom.pmf(errors, 60, risk), dtype=np.float64)
    assert float(chances @ np.exp(log_evidence(60, errors, risk, above=above))) == pytest.approx(1.0)


@given(RISKS, st.floats(0.05, 0.95), st.booleans())
def test_the_evidence_has_mean_below_one_anywhere_else_under_the_null(
    risk: float, part: float, above: bool
) -> None:
    truth = risk * part if above else risk + (1.0 - risk) * part
    errors = np.arange(41)
    chances = np.asarray(binom.pmf(errors, 40, truth), dtype=np.float64)
    assert float(chances @ np.exp(log_evidence(40, errors, risk, above=above))) <= 1.0 + 1e-9


@given(COUNTS, RISKS)
def test_more_errors_are_evidence_for_more_risk(counts: tuple[int, int], risk: float) -> None:
    n, errors = counts
    for above, sign in ((True, 1.0), (False, -1.0)):
        fewer, more = log_evidence(n, [max(errors - 1, 0), errors], risk, above=above).tolist()
        assert sign * (more - fewer) >= -1e-9


@given(COUNTS, st.floats(0.001, 0.3))
def test_the_sequence_holds_the_point_and_is_wider_than_the_fixed_interval(
    counts: tuple[int, int], delta: float
) -> None:
    n, errors = counts
    low, high = confidence_sequence(n, errors, delta)
    fixed_low, fixed_high = interval(n, errors, delta)
    assert 0.0 <= low <= errors / n <= high <= 1.0
    assert low <= fixed_low + 1e-9
    assert high >= fixed_high - 1e-9


@given(COUNTS, st.floats(0.001, 0.3))
def test_the_ends_of_the_sequence_are_where_the_evidence_reaches_its_bar(
    counts: tuple[int, int], delta: float
) -> None:
    n, errors = counts
    low, high = confidence_sequence(n, errors, delta)
    bar = math.log(2.0 / delta)
    assert low == 0.0 or float(log_evidence(n, errors, low, above=True)) == pytest.approx(bar, abs=1e-3)
    assert high == 1.0 or float(log_evidence(n, errors, high, above=False)) == pytest.approx(bar, abs=1e-3)


def test_the_sequence_narrows_round_a_steady_risk() -> None:
    widths = [
        high - low for low, high in (confidence_sequence(n, n // 20, 0.05) for n in (100, 1000, 10**4, 10**5))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01


def test_nothing_observed_says_nothing() -> None:
    assert confidence_sequence(0, 0, 0.05) == (0.0, 1.0)


@pytest.mark.parametrize("waves", [False, True])
def test_the_sequence_rarely_ever_misses_the_mean_risk_even_where_it_drifts(waves: bool) -> None:
    rng, repeats, delta, calls = np.random.default_rng(3), 400, 0.1, 800
    risks = 0.1 + (0.08 * np.sin(np.arange(calls) / 90.0) if waves else 0.0) + np.zeros(calls)
    means = np.cumsum(risks) / np.arange(1, calls + 1)
    errors = np.cumsum(rng.random((repeats, calls)) < risks, axis=1)
    n = np.arange(1, calls + 1)
    missed = np.zeros(repeats, dtype=np.bool_)
    for above in (True, False):
        missed |= (log_evidence(n, errors, means, above=above) > math.log(2.0 / delta)).any(axis=1)
    assert p_value(repeats, repeats - int(missed.sum()), 1.0 - delta) > 0.001
    assert missed.any()


@pytest.mark.parametrize("counts", [(3, 4), (3, -1)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="at most the calls"):
        confidence_sequence(*counts, 0.05)
