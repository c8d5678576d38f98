"""A time budget: what is tried on how many calls, and what is said of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from offramp.core.call import Call, OutputType
from offramp.core.dataset import Dataset
from offramp.core.task import Task
from offramp.loop.budget import ENOUGH_CALLS, LEAST_CALLS, Budget, drawn, shares_of
from offramp.loop.workshop import Brief
from offramp.select import Trial, Unit

KINDS = ("cache", "classifier", "lora")


@dataclass
class Watch:
    """A clock that somebody else moves."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A budget of so many seconds, and a unit to spend it on."""

    watch: Watch = field(default_factory=Watch)

    def budget(self, seconds: float, *, slowness: float = 1.0) -> Budget:
        return Budget(seconds, clock=self.watch, slowness=slowness)


def unit(name: str = "labels") -> Unit:
    task = Task(f"t-{name}", "v", name, "s", OutputType.LABEL, 9, 0.5, 0.5, 9, convertible=True, reason="")
    return Unit(name, (task,), OutputType.LABEL)


def brief(calls: int = 0, name: str = "labels") -> Brief:
    # Only the number of calls matters here, so any objects will do.
    parts = {"train": (None,) * calls}
    return Brief(unit(name), Dataset((f"t-{name}",), parts, {}, {}, {}))  # type: ignore[arg-type]


def trial(kind: str, *, coverage: float = 0.1, seconds: float = 1.0) -> Trial:
    return Trial(kind, 10, 0.5, coverage, seconds)


def test_with_time_enough_everything_is_tried_on_all_calls() -> None:
    assert World().budget(10_000).affordable(unit(), KINDS, 5000, 1.0) == (KINDS, 5000)


def test_a_costly_kind_is_left_out_before_calls_are() -> None:
    kinds, most = World().budget(150).affordable(unit(), KINDS, 9000, 1.0)
    assert kinds == ("cache", "classifier")
    assert most == 9000


def test_a_short_budget_uses_fewer_calls_but_never_too_few() -> None:
    kinds, most = World().budget(60).affordable(unit(), KINDS, 20_000, 1.0)
    assert kinds == ("cache", "classifier")
    assert ENOUGH_CALLS <= most < 6000
    assert World().budget(0.1).affordable(unit(), KINDS, 20_000, 1.0) == (("cache",), LEAST_CALLS)


def test_a_unit_gets_its_share_of_the_time() -> None:
    budget = World().budget(400)
    assert "classifier" in budget.affordable(unit(), KINDS, 20_000, 0.5)[0]
    assert "classifier" not in budget.affordable(unit("other"), KINDS, 20_000, 0.01)[0]


def test_a_slow_machine_affords_less() -> None:
    fast = World().budget(200).affordable(unit(), KINDS, 50_000, 1.0)
    slow = World().budget(200, slowness=2.0).affordable(unit(), KINDS, 50_000, 1.0)
    assert fast[0] == slow[0]
    assert slow[1] == pytest.approx(fast[1] / 2, abs=2)


def test_what_was_planned_is_tried_though_the_time_ran_away() -> None:
    world = World()
    budget = world.budget(1000)
    budget.affordable(unit(), ("classifier",), 5000, 1.0)
    world.watch.now += 2000
    assert budget.left == -1000
    assert budget.denies("classifier", brief(5000), []) == ""


def test_what_there_is_no_time_for_is_named() -> None:
    budget = World().budget(100)
    reason = budget.denies("lora", brief(20_000), [])
    assert reason.startswith("no time")
    assert budget.left_out == [f"labels: lora would take about {reason.split('about ')[1]}, 2 min were left."]


def test_what_time_is_left_for_is_tried_unplanned() -> None:
    assert World().budget(100).denies("cache", brief(20_000), []) == ""


def test_nothing_dearer_is_tried_where_a_cheap_kind_answers_everything() -> None:
    budget = World().budget(1e6)
    assert "99% already" in budget.denies("lora", brief(10), [trial("cache", coverage=0.99)])
    assert budget.left_out == []


def test_the_machine_is_judged_by_the_last_trial_that_took_a_while() -> None:
    budget = World().budget(1e6)
    budget.denies("lora", brief(1000), [trial("classifier", seconds=0.1)])
    assert budget.slowness == 1.0
    budget.denies("lora", brief(1000), [trial("classifier", seconds=30.0)])
    assert budget.slowness == pytest.approx(3.0)


def call(session: str, number: int) -> Call:
    return Call(f"{session}-{number}", float(number), session, "o", {}, {})


def test_calls_are_drawn_by_whole_sessions_whatever_their_order() -> None:
    sessions = {name: [call(name, number) for number in range(3)] for name in "abcdefgh"}
    taken = drawn(sessions, 7)
    assert len(taken) == 9
    assert all(len([c for c in taken if c.session == name]) in (0, 3) for name in sessions)
    assert drawn(dict(reversed(list(sessions.items()))), 7) == taken
    assert len(drawn(sessions, 1000)) == 24


def test_shares_add_up_and_are_equal_where_nothing_is_known() -> None:
    units = [unit("a"), unit("b")]
    assert shares_of(units, lambda one: 3.0 if one.name == "a" else 1.0) == [0.75, 0.25]
    assert shares_of(units, lambda _: 0.0) == [0.5, 0.5]
