from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.plan.kv import BLOCK, Holdings, overflow_budget
from offramp.plan.queueing import Presence, presence

DRAWS = 60_000
ONE = np.ones(1)


def held(
    holdings: Holdings, weight: np.ndarray, present: Presence, *, slots: int, seed: int = 0
) -> np.ndarray:
    """Draw what all requests together hold, as an engine counts it: whole blocks."""
    generator = np.random.default_rng(seed)
    states = generator.choice(len(present.probability), size=DRAWS, p=present.probability)
    requests = np.minimum(np.rint(present.requests[states]).astype(int), slots)
    kinds = generator.choice(len(weight), size=requests.sum(), p=weight)
    tokens = holdings.prompt[kinds] + generator.uniform(size=len(kinds)) * holdings.completion[kinds]
    blocks = np.ceil(tokens / BLOCK) * BLOCK
    sums = np.concatenate(([0.0], np.cumsum(blocks)))
    ends = np.cumsum(requests)
    return np.asarray(sums[ends] - sums[ends - requests])


@given(
    st.floats(0.2, 6.0),
    st.sampled_from([1.0, 2.0, 5.0]),
    st.sampled_from([0.05, 0.01, 0.001]),
    st.integers(0, 4000),
    st.integers(1, 800),
)
@settings(max_examples=30, deadline=None)
def test_demand_exceeds_the_budget_no_more_often_than_promised(
    rate: float, group: float, overflow: float, prompt: int, completion: int
) -> None:
    """Monte Carlo of the KV demand: the frequency is within the bound, and three standard errors of it."""
    holdings = Holdings(np.array([50.0, prompt]), np.array([10.0, completion]))
    weight = np.array([0.7, 0.3])
    present = presence(rate, 20.0, 0.01 + 0.001 * np.arange(1.0, 129.0), group=group)
    assert present is not None
    budget = overflow_budget(holdings, weight, present, slots=128, overflow=overflow)
    frequency = float((held(holdings, weight, present, slots=128) > budget).mean())
    assert frequency <= overflow + 3 * np.sqrt(overflow / DRAWS)


def test_the_budget_is_not_the_sum_of_peaks() -> None:
    """Multiplexing: a hundred requests at once need far less than a hundred times the largest."""
    holdings = Holdings(np.array([100.0]), np.array([900.0]))
    present = presence(100.0, 10.0, np.full(400, 0.1))
    assert present is not None
    budget = overflow_budget(holdings, ONE, present, slots=200, overflow=0.001)
    assert 100 * 550 < budget < 0.7 * 200 * holdings.largest


def test_a_stricter_bound_needs_more() -> None:
    holdings = Holdings(np.array([100.0]), np.array([50.0]))
    present = presence(5.0, 10.0, np.full(64, 0.1))
    assert present is not None
    budgets = [overflow_budget(holdings, ONE, present, slots=64, overflow=eps) for eps in (0.1, 0.01, 0.001)]
    assert budgets == sorted(budgets)
    assert budgets[0] < budgets[-1]


def test_an_empty_engine_needs_next_to_nothing() -> None:
    holdings = Holdings(np.array([100.0]), np.array([50.0]))
    budget = overflow_budget(holdings, ONE, Presence(np.ones(1), 1.0), slots=4, overflow=0.001)
    assert budget == pytest.approx(0.0, abs=50.0)
