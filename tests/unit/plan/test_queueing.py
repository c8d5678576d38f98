from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.plan.queueing import erlang_c, erlang_servers, presence


def poisson(mean: float, count: int) -> np.ndarray:
    return np.array([math.exp(-mean) * mean**n / math.factorial(n) for n in range(count)])


def test_steps_that_do_not_grow_are_infinitely_many_servers() -> None:
    """M/G/infinity: with a step that is as long for all, the number present is Poisson of rate times time."""
    found = presence(2.0, 10.0, np.full(100, 0.1))
    assert found is not None
    assert found.probability[:12] == pytest.approx(poisson(2.0, 12), abs=1e-9)


def test_steps_in_proportion_are_one_shared_server() -> None:
    """M/G/1-PS: with steps in proportion to the number, it is geometric."""
    found = presence(0.6, 1.0, np.arange(1.0, 65.0))
    assert found is not None
    assert found.probability[:20] == pytest.approx([0.4 * 0.6**n for n in range(20)], abs=1e-9)
    assert found.busy == pytest.approx(0.6)
    assert found.mean == pytest.approx(1.5)


def test_one_slot_is_one_server() -> None:
    """M/M/1: whoever has no slot waits, and the number present is geometric again."""
    found = presence(0.5, 1.0, np.ones(1))
    assert found is not None
    assert found.probability[:10] == pytest.approx([0.5 * 0.5**n for n in range(10)], abs=1e-9)


def test_an_engine_that_cannot_keep_up_has_no_distribution() -> None:
    assert presence(1.0, 1.0, np.ones(1)) is None
    assert presence(0.0, 1.0, np.ones(1)) is not None


def test_groups_multiply_the_variance() -> None:
    """Arrivals in groups of four: the same mean number, four times the variance."""
    one, four = presence(4.0, 10.0, np.full(200, 0.1)), presence(4.0, 10.0, np.full(200, 0.1), group=4.0)
    assert one is not None
    assert four is not None
    assert four.mean == pytest.approx(one.mean)
    spread = [found.probability @ found.requests**2 - found.mean**2 for found in (one, four)]
    assert spread[1] == pytest.approx(4 * spread[0])


@given(st.floats(0.05, 3.0), st.floats(1.0, 6.0))
@settings(max_examples=50, deadline=None)
def test_more_requests_never_make_fewer_present(rate: float, group: float) -> None:
    steps = 0.05 + 0.002 * np.arange(1.0, 65.0)
    less = presence(rate, 5.0, steps, group=group)
    more = presence(rate * 1.2, 5.0, steps, group=group)
    assert less is not None
    assert more is not None
    for level in (0.5, 0.9, 0.999):
        assert less.quantile(level) <= more.quantile(level)


@pytest.mark.parametrize(("rate", "service", "wait"), [(0.5, 2.0, 0.5), (5.0, 3.0, 1.0), (0.01, 10.0, 5.0)])
def test_servers_are_the_fewest_that_keep_the_wait(rate: float, service: float, wait: float) -> None:
    servers = erlang_servers(rate, service, wait_s=wait, probability=0.01)

    def exceeded(count: int) -> float:
        if count <= rate * service:
            return 1.0
        return erlang_c(rate * service, count) * math.exp(-(count - rate * service) * wait / service)

    assert exceeded(servers) <= 0.01
    assert servers == 1 or exceeded(servers - 1) > 0.01
