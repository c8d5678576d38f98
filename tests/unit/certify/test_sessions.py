from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.certify.sessions import by_session, passes, see, session_counts
from offramp.certify.units import Drawing, ScoredCalls, Unit

if TYPE_CHECKING:
    from random import Random

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=20)


def calls(lengths: list[int], seed: int = 0, risk: float = 0.3) -> ScoredCalls:
    rng = np.random.default_rng(seed)
    session = [f"s{at}" for at, length in enumerate(lengths) for _ in range(length)]
    rows = len(session)
    names = [f"c{row}" for row in range(rows)]
    tasks = [f"t{row % 2}" for row in range(rows)]
    return ScoredCalls(tasks, session, names, rng.random(rows), rng.random(rows) < risk)


def every(cap: int, **held: object) -> Drawing:
    return Drawing(Unit.EVERY, cap=cap, **held)  # type: ignore[arg-type]  # one of its fields


@given(LENGTHS, st.integers(0, 99))
def test_counts_are_those_of_the_calls_where_no_session_is_longer_than_the_cap(
    lengths: list[int], seed: int
) -> None:
    some, thresholds = calls(lengths, seed), np.array([0.8, 0.4, 0.1])
    counts = session_counts(by_session(some, every(6)), thresholds)
    for row, at in enumerate(thresholds):
        held = some.confidence >= at
        assert counts.answered[row].sum() == pytest.approx(held.sum())
        assert counts.errors[row].sum() == pytest.approx((held & some.loss).sum())
    assert counts.answered.shape == (3, len(lengths))


@given(LENGTHS, st.integers(1, 6))
def test_no_session_counts_as_more_than_the_cap(lengths: list[int], cap: int) -> None:
    counts = session_counts(by_session(calls(lengths), every(cap)), np.array([0.0]))
    assert sorted(counts.answered[0].tolist()) == pytest.approx(sorted(min(one, cap) for one in lengths))
    assert bool(np.all(counts.errors <= counts.answered + 1e-12))


def test_the_largest_stake_follows_the_cap_and_not_the_sessions_that_happen_to_be_there() -> None:
    """Bets that grow where no long session was met would be no bets made beforehand."""
    assert session_counts(by_session(calls([1, 1, 2]), every(9)), np.array([0.5])).longest == 9.0


@given(LENGTHS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(lengths: list[int], random: Random) -> None:
    some = calls(lengths)
    rows = list(range(len(some)))
    random.shuffle(rows)
    here, there = (
        session_counts(by_session(one, every(3)), np.array([0.5]))
        for one in (some, some.take(np.array(rows)))
    )
    np.testing.assert_allclose(here.answered, there.answered)
    np.testing.assert_allclose(here.errors, there.errors)


def test_another_seed_is_another_order_of_the_same_sessions() -> None:
    some = calls(list(range(1, 20)))
    one, other = (
        session_counts(by_session(some, every(19, seed=seed)), np.array([0.0])).answered[0] for seed in (0, 1)
    )
    assert one.tolist() != other.tolist()
    assert sorted(one.tolist()) == sorted(other.tolist())


def test_what_is_held_back_is_not_answered_and_not_wrong() -> None:
    some = calls([4] * 30)
    drawing = every(4, deferred=frozenset({"t0"}), floors={"t1": 0.7})
    counts = session_counts(by_session(some, drawing), np.array([0.1]))
    served = np.array([task == "t1" for task in some.task]) & (some.confidence >= 0.7)
    assert counts.answered.sum() == served.sum()
    assert counts.errors.sum() == (served & some.loss).sum()


def test_dependent_errors_are_seen_as_clumps() -> None:
    rng = np.random.default_rng(1)
    some = calls([5] * 400)
    luck = np.repeat(rng.random(400) < 0.2, 5)
    clumped = ScoredCalls(some.task, some.session, some.call, some.confidence, luck)
    loose = np.array([0.0])
    alone, together = (
        see(by_session(one, every(5)), loose).expected.clump[0] for one in (calls([5] * 400), clumped)
    )
    assert 0.8 < alone < 1.3
    assert 3.5 < together < 5.5


def test_nothing_is_seen_without_calls_or_thresholds() -> None:
    nothing = see(by_session(calls([]), every(1)), np.array([0.5]))
    assert (nothing.sessions, nothing.curve.n, nothing.curve.answered.tolist()) == (0, 0.0, [0.0])
    assert see(by_session(calls([2, 3]), every(3)), np.empty(0)).curve.n == 5.0


def test_thresholds_pass_in_turn_up_to_the_first_that_fails() -> None:
    rng = np.random.default_rng(2)
    some = calls([2] * 1500, risk=0.0)
    wrong = ScoredCalls(
        some.task, some.session, some.call, some.confidence, rng.random(3000) < 0.4 * (1.0 - some.confidence)
    )
    thresholds = np.linspace(0.95, 0.02, 40)
    seen = see(by_session(wrong, every(2)), thresholds)
    risk = 0.2 * (1.0 - thresholds)
    passed = passes(by_session(wrong, every(2)), (thresholds, seen.expected), (0.1, 0.05))
    assert 12 < passed < 40
    assert risk[passed - 1] <= 0.1
    assert passes(by_session(wrong, every(2)), (thresholds, seen.expected), (0.5, 0.05)) == 40
