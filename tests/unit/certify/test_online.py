from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.certify.bounds import p_value
from offramp.certify.evidence import RATES, confidence_sequence, log_evidence
from offramp.certify.online import (
    Audit,
    Promotion,
    RiskMonitor,
    audit_log_wealth,
    audit_step,
    delay_bounds,
    start_weight,
)
from offramp.core.errors import BadInput

LOSSES = st.lists(st.booleans(), max_size=40)
ALPHA, DELTA = 0.05, 0.05


def watched(state: Promotion | Audit, losses: list[bool]) -> Promotion | Audit:
    for loss in losses:
        state = state.observe(loss=loss)
    return state


def alarms(risks: np.ndarray, repeats: int, seed: int, alpha: float = ALPHA) -> np.ndarray:
    """Calls to the alarm at delta 0.1 in each repeat, 0 where there is none."""
    rng = np.random.default_rng(seed)
    logs, idle, stops = np.full((repeats, len(RATES)), -np.inf), 1.0, np.zeros(repeats, dtype=np.int64)
    for call, risk in enumerate(risks.tolist(), start=1):
        logs = audit_step(logs, rng.random(repeats) < risk, alpha, call)
        idle = max(idle - start_weight(call), 0.0)
        stops = np.where((stops == 0) & (audit_log_wealth(logs, idle) >= -math.log(0.1)), call, stops)
    return stops


@pytest.mark.parametrize("fresh", [Promotion(ALPHA, DELTA), Audit(ALPHA, DELTA)])
def test_nothing_is_known_at_the_start(fresh: Promotion | Audit) -> None:
    assert fresh.log_wealth == pytest.approx(0.0)
    assert not fresh.reached


@pytest.mark.parametrize("fresh", [Promotion(ALPHA, DELTA), Audit(ALPHA, DELTA)])
@given(losses=LOSSES)
@settings(max_examples=30)
def test_states_survive_storage(fresh: Promotion | Audit, losses: list[bool]) -> None:
    state = watched(fresh, losses)
    stored = type(fresh).from_dict(json.loads(json.dumps(state.to_dict())))
    assert stored == state
    assert stored.observe(loss=True) == state.observe(loss=True)
    assert (state.n, state.errors) == (len(losses), sum(losses))


def test_promotion_takes_79_calls_without_a_disagreement_at_5_per_cent() -> None:
    state = watched(Promotion(ALPHA, DELTA), [False] * 78)
    assert not state.reached
    assert state.observe(loss=False).reached


def test_a_promotion_that_was_reached_stays_reached() -> None:
    state = watched(Promotion(ALPHA, DELTA), [False] * 80 + [True] * 20)
    assert state.log_wealth < 0.0
    assert state.reached


@given(st.lists(st.booleans(), min_size=1, max_size=60))
@settings(max_examples=50)
def test_promotion_is_reached_exactly_where_the_one_sided_bound_falls_below_alpha(losses: list[bool]) -> None:
    state = Promotion(0.3, 0.2)
    reached = False
    for n, loss in enumerate(losses, start=1):
        state = state.observe(loss=loss)
        reached |= confidence_sequence(n, state.errors, 0.4)[1] <= 0.3
        assert state.reached == reached


def test_an_audit_of_disagreements_alarms_at_once_and_one_of_agreements_never() -> None:
    assert watched(Audit(ALPHA, DELTA), [True] * 3).reached
    assert not watched(Audit(ALPHA, DELTA), [False] * 300).reached


def test_an_alarm_stays_on() -> None:
    state = watched(Audit(ALPHA, DELTA), [True] * 3 + [False] * 100)
    assert state.log_wealth < -math.log(DELTA)
    assert state.reached


@given(LOSSES, st.floats(0.01, 0.5))
@settings(max_examples=50)
def test_the_audit_is_a_fair_bet_at_alpha(losses: list[bool], alpha: float) -> None:
    state = watched(Audit(alpha, DELTA), losses)
    wealth = [math.exp(state.observe(loss=loss).log_wealth) for loss in (True, False)]
    mean = alpha * wealth[0] + (1.0 - alpha) * wealth[1]
    assert mean == pytest.approx(math.exp(state.log_wealth))
    assert wealth[0] > wealth[1]


@given(LOSSES, st.floats(0.01, 0.5))
@settings(max_examples=50)
def test_promotion_is_a_fair_bet_at_alpha(losses: list[bool], alpha: float) -> None:
    state = watched(Promotion(alpha, DELTA), losses)
    wealth = [math.exp(state.observe(loss=loss).log_wealth) for loss in (True, False)]
    assert alpha * wealth[0] + (1.0 - alpha) * wealth[1] == pytest.approx(math.exp(state.log_wealth))
    assert wealth[0] < wealth[1]


def test_the_wealth_put_aside_sums_to_one() -> None:
    first = sum(start_weight(call) for call in range(1, 100_001))
    assert first + 1.0 / (2.10974280123689 * math.log(100_001.5)) == pytest.approx(1.0, abs=1e-6)


def test_false_alarms_stay_within_delta() -> None:
    stops = alarms(np.full(600, ALPHA), 600, seed=1)
    false = int(np.count_nonzero(stops))
    assert p_value(600, 600 - false, 0.9) > 0.001
    assert false > 0


def test_false_promotions_stay_within_delta() -> None:
    errors = np.cumsum(np.random.default_rng(2).random((600, 600)) < ALPHA, axis=1)
    wealth = log_evidence(np.arange(1, 601), errors, ALPHA, above=False)
    false = int(np.count_nonzero((wealth >= -math.log(0.1)).any(axis=1)))
    assert p_value(600, 600 - false, 0.9) > 0.001
    assert false > 0


@pytest.mark.parametrize("before", [0, 300])
def test_a_planted_drift_is_found_within_what_theory_says(before: int) -> None:
    _, ceiling = delay_bounds(ALPHA, 0.1, 0.25, before)
    risks = np.concatenate([np.full(before, ALPHA / 2.0), np.full(int(5 * ceiling), 0.25)])
    stops = alarms(risks, 200, seed=4)
    delays = stops[(stops > before) | (stops == 0)] - before
    assert bool(np.all(delays > 0))
    assert float(delays.mean()) <= ceiling


def test_theory_puts_the_fewest_below_the_most_and_grows_with_good_calls_before() -> None:
    floor, ceiling = delay_bounds(ALPHA, DELTA, 0.1)
    later_floor, later_ceiling = delay_bounds(ALPHA, DELTA, 0.1, 10_000)
    assert floor == later_floor == pytest.approx(145.0, abs=1.0)
    assert floor < ceiling < later_ceiling < 4.0 * ceiling


def test_a_drift_too_small_for_any_bet_has_no_bound() -> None:
    assert delay_bounds(ALPHA, DELTA, 0.0501)[1] == math.inf


def test_a_drift_leads_above_alpha() -> None:
    with pytest.raises(BadInput, match="above alpha"):
        delay_bounds(ALPHA, DELTA, ALPHA)


@pytest.mark.parametrize("kind", [Promotion, Audit])
@pytest.mark.parametrize("promise", [(0.0, 0.05), (0.05, 1.0)])
def test_a_test_needs_an_alpha_and_a_delta(
    kind: type[Promotion | Audit], promise: tuple[float, float]
) -> None:
    with pytest.raises(BadInput, match="above 0 and below 1"):
        kind(*promise)


def test_a_monitor_counts_tells_the_interval_and_rejects() -> None:
    monitor = RiskMonitor(ALPHA, DELTA)
    told = []
    for loss in (0.0, 1.0, 1.0, 1.0, 1.0):
        monitor.update(loss)
        told.append(monitor.rejected)
    assert (told[0], told[-1]) == (False, True)
    assert (monitor.audit.n, monitor.audit.errors) == (5, 4)
    assert monitor.interval == confidence_sequence(5, 4, DELTA)


def test_a_monitor_goes_on_from_a_stored_state() -> None:
    first = RiskMonitor(ALPHA, DELTA)
    first.update(1.0)
    again = RiskMonitor(ALPHA, DELTA, Audit.from_dict(first.audit.to_dict()))
    first.update(0.0)
    again.update(0.0)
    assert again.audit == first.audit
