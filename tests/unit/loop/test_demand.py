from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.core.call import Call, Usage
from offramp.loop import demand
from offramp.testing.memory_store import MemoryStore

HOUR = demand.HOUR_S


def call(number: int, at: float, *, latency_s: float = 0.5) -> Call:
    return Call(f"c{number}", at, "s", "", {}, {}, latency_s=latency_s, usage=Usage(100, 10))


def test_calls_are_counted_by_the_hour_of_the_day() -> None:
    """Two whole days, ten calls each morning at three: ten an hour in that hour and none in the others."""
    at = [0.0, 2 * 86_400.0, *(day * 86_400.0 + 3 * HOUR + minute for day in (0, 1) for minute in range(10))]
    measured = demand.measure(
        [call(n, one) for n, one in enumerate(at)], {f"c{n}": "t" for n in range(2, 22)}
    )
    rates = measured["tasks"]["t"]["rates"]
    assert rates[3] == pytest.approx(20 / (2 * HOUR))
    assert sum(rates) == rates[3]
    assert set(measured["tasks"]) == {"t", ""}
    assert measured["tasks"]["t"]["teacher_s"] == 0.5


def test_without_times_there_is_one_window_the_peak() -> None:
    measured = demand.measure([call(n, 0.0) for n in range(10)], {}, days=1.0)
    facts = measured["tasks"][""]
    assert facts["rates"] == [pytest.approx(demand.PEAK_FACTOR * 10 / 86_400)]
    assert facts["burst"] == 1.0


def test_a_moment_is_no_rate() -> None:
    """Two calls in one second are not two calls a second."""
    measured = demand.measure([call(0, 0.0), call(1, 1.0)], {})
    assert measured["tasks"][""]["rates"][0] == pytest.approx(2 / demand.LEAST_OBSERVED_S)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
@settings(max_examples=50, deadline=None)
def test_every_observed_second_is_in_one_hour(begun: float, length: float) -> None:
    seen = demand.observed_s(begun, begun + length)
    assert seen.sum() == pytest.approx(length, rel=1e-6, abs=1e-3)
    assert (seen >= 0).all()


def test_poisson_streams_are_not_bursty_and_groups_are() -> None:
    generator = np.random.default_rng(0)
    alone = np.sort(generator.uniform(0, 10 * HOUR, 6000))
    assert demand.burst_of(alone) == pytest.approx(1.0, abs=0.15)
    grouped = np.repeat(np.sort(generator.uniform(0, 10 * HOUR, 1500)), 4)
    assert demand.burst_of(grouped) == pytest.approx(4.0, rel=0.15)
    assert demand.burst_of(np.empty(0)) == 1.0


def test_a_measured_demand_is_read_back() -> None:
    store = MemoryStore()
    assert demand.load(store) is None
    demand.save(store, {"window_s": 1.0, "tasks": {}})
    assert demand.load(store) == {"window_s": 1.0, "tasks": {}}


def test_calls_of_specialists_count_and_audits_do_not() -> None:
    """Three calls, two of them answered by a specialist, one of those audited: three calls of the task."""
    answered = [replace(call(n, 60.0 * n, latency_s=0.01), route="s-1", usage=Usage()) for n in (1, 2)]
    audit = replace(call(3, 70.0, latency_s=9.0), meta={"audit_of": "c1"})
    measured = demand.measure([call(0, 0.0), *answered, audit], dict.fromkeys(("c0", "c1", "c2", "c3"), "t"))
    facts = measured["tasks"]["t"]
    assert facts["rates"][0] == pytest.approx(3 / demand.LEAST_OBSERVED_S)
    assert facts["teacher_s"] == 0.5
    assert facts["lengths"] == [[100, 10, 1.0]]
    assert demand.measure(answered, {})["tasks"][""]["teacher_s"] == 0.0
