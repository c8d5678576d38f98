from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.core.errors import BadInput, EngineError
from offramp.select import Outcome, Probe, probe_arms
from offramp.select.halving import rungs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = "abcdefgh"
TABLES = st.integers(1, 8).flatmap(
    lambda arms: st.integers(1, 400).flatmap(
        lambda calls: st.tuples(
            st.lists(st.floats(0.1, 9), min_size=arms, max_size=arms),
            st.lists(st.floats(0, 1), min_size=arms, max_size=arms),
            st.just(calls),
            st.integers(0, 99),
        )
    )
)
PROBES = st.builds(
    Probe, margin=st.floats(0, 0.2), eta=st.integers(2, 4), least=st.integers(1, 64), seed=st.integers(0, 9)
)


class Table:
    """Arms with a loss drawn for every call, and a record of what they were asked."""

    def __init__(self, sizes: Sequence[float], rates: Sequence[float], calls: int, seed: int) -> None:
        rng = random.Random(seed)
        self.sizes = dict(zip(NAMES, sizes, strict=False))
        self.losses = {
            name: [float(rng.random() < rate) for _ in range(calls)]
            for name, rate in zip(NAMES, rates, strict=False)
        }
        self.calls = calls
        self.asked: dict[str, list[int]] = {name: [] for name in self.sizes}

    def measure(self, name: str, rows: Sequence[int]) -> list[float]:
        self.asked[name] += rows
        return [self.losses[name][row] for row in rows]

    def agreement(self, name: str) -> float:
        return 1 - sum(self.losses[name]) / self.calls

    def run(self, probe: Probe) -> Outcome:
        return probe_arms(self.sizes, self.measure, self.calls, probe)


@given(TABLES, PROBES)
def test_no_call_is_asked_twice_and_the_survivors_are_asked_all(
    table: tuple[list[float], list[float], int, int], probe: Probe
) -> None:
    made = Table(*table)
    outcome = made.run(probe)
    for rows in made.asked.values():
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(range(made.calls))
    assert sorted(made.asked[outcome.winner]) == list(range(made.calls))
    assert outcome.asked == sum(len(rows) for rows in made.asked.values()) <= made.calls * len(made.sizes)


@given(TABLES, PROBES)
def test_the_winner_is_the_smallest_survivor_within_the_margin_of_the_best_survivor(
    table: tuple[list[float], list[float], int, int], probe: Probe
) -> None:
    made = Table(*table)
    outcome = made.run(probe)
    last = len(outcome.rungs) - 1
    survivors = [standing for standing in outcome.standings if standing.rung == last]
    best = max(standing.agreement for standing in survivors)
    near = [s for s in survivors if s.agreement >= best - probe.margin - 1e-9]
    assert outcome.winner in {s.name for s in near}
    assert made.sizes[outcome.winner] == min(s.size for s in near)


@given(TABLES, PROBES)
def test_the_arm_that_led_each_rung_is_never_dropped_in_it(
    table: tuple[list[float], list[float], int, int], probe: Probe
) -> None:
    made = Table(*table)
    outcome = made.run(probe)
    order = made.asked[outcome.winner]
    for rung, upto in enumerate(outcome.rungs[:-1]):
        ran = [s.name for s in outcome.standings if s.rung >= rung]
        scores = {name: -sum(made.losses[name][row] for row in order[:upto]) for name in ran}
        leaders = {name for name in ran if scores[name] == max(scores.values())}
        assert leaders & {s.name for s in outcome.standings if s.rung > rung}


@given(TABLES, PROBES, st.randoms(use_true_random=False))
def test_neither_the_order_of_arms_nor_a_second_run_changes_the_outcome(
    table: tuple[list[float], list[float], int, int], probe: Probe, rng: random.Random
) -> None:
    made = Table(*table)
    first = made.run(probe)
    names = list(made.sizes)
    rng.shuffle(names)
    made.sizes = {name: made.sizes[name] for name in names}
    assert made.run(probe) == first


@given(TABLES, PROBES)
def test_each_rung_but_the_last_keeps_at_most_its_share(
    table: tuple[list[float], list[float], int, int], probe: Probe
) -> None:
    outcome = Table(*table).run(probe)
    for rung in range(len(outcome.rungs) - 1):
        ran = sum(s.rung >= rung for s in outcome.standings)
        stayed = sum(s.rung > rung for s in outcome.standings)
        assert 1 <= stayed <= max(1, -(-ran // probe.eta))


@given(TABLES, PROBES)
def test_every_arm_is_told_with_a_reason(
    table: tuple[list[float], list[float], int, int], probe: Probe
) -> None:
    made = Table(*table)
    outcome = made.run(probe)
    assert {s.name for s in outcome.standings} == set(made.sizes)
    assert outcome.standings[0].name == outcome.winner
    assert all(s.reason for s in outcome.standings)


@given(st.integers(1, 9), st.integers(1, 5000), PROBES)
def test_rungs_grow_to_all_calls_and_start_with_enough(arms: int, calls: int, probe: Probe) -> None:
    rungs = rungs_of(arms, calls, probe)
    assert rungs[-1] == calls
    assert all(a < b for a, b in itertools.pairwise(rungs))
    assert rungs[0] >= min(calls, probe.least)
    assert probe.eta ** (len(rungs) - 1) < arms * probe.eta


@settings(max_examples=50)
@given(st.integers(0, 999), st.integers(0, 7))
def test_an_arm_that_is_far_ahead_wins_whatever_its_size(seed: int, place: int) -> None:
    rates = [0.6] * 8
    rates[place] = 0.0
    made = Table([float(n + 1) for n in range(8)], rates, 512, seed)
    assert made.run(Probe(least=32)).winner == NAMES[place]


def test_among_equals_the_smallest_wins_and_most_calls_are_spared() -> None:
    made = Table([8, 7, 6, 5, 4, 3, 2, 1], [0.0] * 8, 512, 0)
    outcome = made.run(Probe(least=32))
    assert outcome.winner == "h"
    assert outcome.rungs == (64, 128, 256, 512)
    assert outcome.asked == 64 * 8 + 64 * 4 + 128 * 2 + 256


def test_a_slightly_worse_small_arm_beats_the_best() -> None:
    made = Table([1, 9], [0.0, 0.0], 100, 0)
    made.losses["a"][:2] = [1.0, 1.0]
    assert made.run(Probe(margin=0.02, least=1000)).winner == "a"
    assert made.run(Probe(margin=0.01, least=1000)).winner == "b"


def test_an_arm_that_fails_leaves_with_its_message() -> None:
    made = Table([1, 2], [0.0, 0.0], 50, 0)

    def measure(name: str, rows: Sequence[int]) -> list[float]:
        if name == "a":
            raise EngineError("no such model")
        return made.measure(name, rows)

    outcome = probe_arms(made.sizes, measure, 50, Probe())
    assert outcome.winner == "b"
    assert outcome.standings[1].reason == "failed: no such model"


def test_where_every_arm_fails_nobody_wins() -> None:
    def measure(name: str, rows: Sequence[int]) -> list[float]:
        raise EngineError(f"{name} is down")

    outcome = probe_arms({"a": 1.0, "b": 2.0}, measure, 50, Probe())
    assert outcome.winner == ""
    assert outcome.asked == 0
    assert {s.reason for s in outcome.standings} == {"failed: a is down", "failed: b is down"}


@pytest.mark.parametrize(("sizes", "calls", "eta"), [({}, 10, 2), ({"a": 1.0}, 0, 2), ({"a": 1.0}, 10, 1)])
def test_a_probe_needs_arms_calls_and_a_rate(sizes: dict[str, float], calls: int, eta: int) -> None:
    with pytest.raises(BadInput, match="A probe needs"):
        probe_arms(sizes, lambda name, rows: [0.0] * len(rows), calls, Probe(eta=eta))


def test_a_missing_loss_is_an_error() -> None:
    with pytest.raises(BadInput, match="returned 1 losses for 10"):
        probe_arms({"a": 1.0}, lambda name, rows: [0.0], 10, Probe())
