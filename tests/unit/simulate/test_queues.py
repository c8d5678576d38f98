from __future__ import annotations

import math

import numpy as np
import pytest

from offramp.plan.queueing import erlang_c, erlang_wait_s, shared_response_s
from offramp.simulate.queues import first_come_waits, shared_responses

COUNT = 200_000


def arrivals(rate: float, seed: int) -> tuple[np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(seed)
    return np.cumsum(generator.exponential(1 / rate, COUNT)), generator


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 0.7), (16, 0.85)])
def test_waits_agree_with_erlang(servers: int, load: float) -> None:
    """M/M/c: the mean wait is within 5 % of the closed form, and so is the share that waits."""
    rate = load * servers
    at, generator = arrivals(rate, seed=servers)
    waits = first_come_waits(at, generator.exponential(1.0, COUNT), servers)
    assert waits.mean() == pytest.approx(erlang_wait_s(rate, 1.0, servers), rel=0.05)
    assert (waits > 0).mean() == pytest.approx(erlang_c(load * servers, servers), rel=0.05)


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_sharing_depends_on_the_mean_alone(cv: float) -> None:
    """M/G/1-PS: the mean response is S / (1 - load) within 5 %, whatever the spread of the service."""
    at, generator = arrivals(0.7, seed=int(10 * cv))
    service = generator.gamma(1 / cv**2, cv**2, COUNT)
    assert shared_responses(at, service).mean() == pytest.approx(shared_response_s(0.7, 1.0), rel=0.05)


def test_sharing_is_exact_on_a_case_by_hand() -> None:
    """2 s of work from 0, 1 s from 1: from 1 on both get half, both are done at 3."""
    assert shared_responses(np.array([0.0, 1.0]), np.array([2.0, 1.0])).tolist() == [3.0, 2.0]


def test_first_come_is_exact_on_a_case_by_hand() -> None:
    """Two servers, three requests at once: the third waits for the shorter of the first two."""
    assert first_come_waits(np.zeros(3), np.array([5.0, 2.0, 1.0]), 2).tolist() == [0.0, 0.0, 2.0]


def test_overload_waits_for_ever() -> None:
    """The closed forms say so instead of a negative number."""
    assert erlang_c(3.0, 2) == 1.0
    assert erlang_wait_s(3.0, 1.0, 2) == math.inf
    assert shared_response_s(2.0, 1.0) == math.inf
