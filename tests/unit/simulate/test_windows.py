from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput
from offramp.simulate.windows import choose, estimate, fluid


def test_a_fluid_backs_up_above_capacity_and_drains_below() -> None:
    flow = fluid(np.array([5.0, 12.0, 12.0, 8.0, 5.0, 9.0]), 10.0, 60.0)
    assert flow.load.tolist() == [0.5, 1.2, 1.2, 0.8, 0.5, 0.9]
    assert flow.backlog.tolist() == [0.0, 120.0, 240.0, 120.0, 0.0, 0.0]


def test_bursts_count_where_means_are_equal() -> None:
    per_s = np.array([4.0, 4.0, 6.0])
    flow = fluid(per_s, 10.0, 60.0, variance=np.array([4.0, 400.0, 6.0]), burst_s=4.0)
    assert flow.peak == pytest.approx([0.6, 2.4, (6 + 2 * 1.5**0.5) / 10])
    assert flow.load.tolist() == [0.4, 0.4, 0.6]
    (worst, _, _) = choose(flow, per_s * 60, worst=1, strata=2)
    assert worst.windows == (1,)


def test_the_worst_windows_stand_for_themselves() -> None:
    requests = np.array([100.0, 0.0, 900.0, 300.0, 950.0, 10.0])
    flow = fluid(requests / 60, 10.0, 60.0)
    chosen = choose(flow, requests, worst=2, strata=1, each=9)
    assert [one.windows for one in chosen] == [(4,), (2,), (5, 0, 3)]
    assert chosen[2].drawn == (0, 3, 5)
    assert chosen[2].requests == 410.0


requests_by_window = st.lists(st.floats(0.0, 1e4), min_size=1, max_size=80)


@given(requests=requests_by_window, worst=st.integers(0, 5), strata=st.integers(1, 6), each=st.integers(1, 4))
def test_every_window_with_requests_is_in_one_stratum(
    requests: list[float], worst: int, strata: int, each: int
) -> None:
    table = np.array(requests)
    chosen = choose(fluid(table, 50.0, 1.0), table, worst=worst, strata=strata, each=each)
    covered = [window for one in chosen for window in one.windows]
    assert sorted(covered) == [window for window, count in enumerate(requests) if count > 0]
    for one in chosen:
        assert set(one.drawn) <= set(one.windows)
        assert len(one.drawn) in {each, len(one.windows), 1}


def test_all_windows_give_the_exact_share_without_error() -> None:
    requests = np.array([10.0, 20.0, 30.0])
    good = {0: [10.0, 0.0], 1: [15.0, 0.0], 2: [15.0, 0.0]}
    chosen = choose(fluid(requests, 1.0, 1.0), requests, worst=1, strata=2, each=5)
    found = estimate(chosen, lambda one: (np.array(good[one]), np.array([requests[one], 0.0])))
    assert found.share[0] == pytest.approx(40 / 60)
    assert np.isnan(found.share[1])
    assert found.error[0] == 0.0
    assert found.windows == 3


def test_an_estimate_is_right_on_average_and_says_how_far_off_it_is() -> None:
    """A thousand windows whose share falls with their load, and varies: two hundred draws of 30 of them."""
    generator = np.random.default_rng(0)
    requests = generator.gamma(4.0, 250.0, 1000)
    missed = requests * np.clip((requests / 4000) ** 2 + generator.normal(0, 0.02, 1000), 0, 1)
    truth = 1 - missed.sum() / requests.sum()
    flow = fluid(requests, 3000.0, 1.0)

    def run(window: int) -> tuple[np.ndarray, np.ndarray]:
        return np.array([requests[window] - missed[window]]), np.array([requests[window]])

    found = [
        estimate(choose(flow, requests, worst=10, strata=10, each=2, seed=seed), run) for seed in range(200)
    ]
    off = np.array([one.share[0] - truth for one in found])
    claimed = np.array([one.error[0] for one in found])
    assert abs(off.mean()) < 0.003
    assert off.std() == pytest.approx(np.sqrt((claimed**2).mean()), rel=0.35)
    assert np.abs(off).max() < 0.05


def test_nothing_to_run_is_refused() -> None:
    requests = np.array([1.0])
    with pytest.raises(BadInput, match="Nothing is to be run"):
        choose(fluid(requests, 1.0, 1.0), requests, worst=0, strata=0)
    with pytest.raises(BadInput, match="No window"):
        estimate([], lambda _: (requests, requests))
