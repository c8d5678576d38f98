from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.loop.test_score import scores

from offramp.core.call import Call, OutputType, Usage
from offramp.core.certificate import Certificate, Member
from offramp.core.deployment import Deployment
from offramp.core.errors import NotFound
from offramp.core.task import Change, ChangeKind, Task
from offramp.loop import state, traffic
from offramp.loop.night import Conversion
from offramp.loop.score import fit_confidence
from offramp.select import Trial, Unit
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

TRIAL = Trial("classifier", 100, 0.9, 0.5, 1.0)


def task(name: str, calls: int = 10, output: OutputType = OutputType.LABEL) -> Task:
    return Task(name, "v", name, "s", output, calls, 0.1, 0.1, calls, convertible=True, reason="", slug=name)


def member(name: str, *, deferred: bool = False, floor: float = 0.0) -> Member:
    return Member(name, 50, 40, 0, 0.0, 0.05, deferred=deferred, calls_needed=None, floor=floor)


def certificate(*members: Member, threshold: float | None = 0.8) -> Certificate:
    names = tuple(m.task for m in members)
    return Certificate(
        "group" if len(members) > 1 else "task",
        names,
        ("v",) * len(names),
        "classifier-1",
        0.05,
        0.01,
        threshold,
        "one call per session",
        50,
        40,
        0,
        0.8,
        0.0,
        0.05,
        members,
        dict.fromkeys(names, 1 / len(names)),
        0.1,
        None,
        "hash",
        "because",
    )


def conversion(*members: Member, threshold: float | None = 0.8, specialist: str = "s") -> Conversion:
    unit = Unit("unit", tuple(task(m.task) for m in members), OutputType.LABEL)
    proof = certificate(*members, threshold=threshold)
    return Conversion(unit, TRIAL, (TRIAL,), specialist, fit_confidence(scores()), proof)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_tasks_are_replaced_and_come_largest_first(store: MemoryStore) -> None:
    state.save_tasks(store, [task("old")], {"rules": 1})
    state.save_tasks(store, [task("small", 5), task("large", 50)], {"rules": 2})
    assert [found.id for found in state.load_tasks(store)] == ["large", "small"]
    assert state.load_tasks(store)[0] == task("large", 50)
    assert state.load_assigner(store) == {"rules": 2}


def test_before_the_first_discovery_there_is_nothing(store: MemoryStore) -> None:
    assert state.load_tasks(store) == []
    assert state.load_assigner(store) is None
    assert state.rounds(store) == 0
    assert traffic.load(store) is None


def test_a_deployment_leaves_deferred_members_out(store: MemoryStore) -> None:
    made = conversion(member("a"), member("b", deferred=True), member("c"))
    deployment = state.deployment_of(state.encode(made))
    assert deployment.tasks == ("a", "c")
    assert deployment.threshold == 0.8
    assert (deployment.alpha, deployment.delta, deployment.scope) == (0.05, 0.01, "group")
    assert set(deployment.mix) == {"a", "b", "c"}


def test_a_deployment_holds_members_to_thresholds_of_their_own_where_those_are_stricter() -> None:
    made = conversion(
        member("a"), member("b", floor=0.9), member("c", floor=0.7), member("d", floor=0.95, deferred=True)
    )
    deployment = state.deployment_of(state.encode(made))
    assert deployment.floors == {"b": 0.9}
    assert [deployment.threshold_of(task) for task in "abc"] == [0.8, 0.9, 0.8]
    assert Deployment.from_dict(deployment.to_dict()) == deployment


def test_a_certificate_of_an_earlier_version_still_goes_live() -> None:
    value = state.encode(conversion(member("a")))
    for one in value["certificate"]["members"]:
        del one["floor"]
    assert state.deployment_of(value).floors == {}


def test_only_what_is_certified_keeps_its_confidence_and_goes_live(store: MemoryStore) -> None:
    good = conversion(member("a"), specialist="good")
    bad = conversion(member("b"), threshold=None, specialist="bad")
    state.save_conversions(store, [good, bad])
    assert set(store.documents(state.CONFIDENCE)) == {"good"}
    assert [deployment.specialist for deployment in state.promote(store)] == ["good"]
    assert [deployment.specialist for deployment in state.deployments(store)] == ["good"]


def test_one_task_may_be_promoted_alone(store: MemoryStore) -> None:
    state.save_conversions(
        store, [conversion(member("a"), specialist="s-a"), conversion(member("b"), specialist="s-b")]
    )
    assert [deployment.specialist for deployment in state.promote(store, "b")] == ["s-b"]
    with pytest.raises(NotFound, match="serves task 'c'"):
        state.promote(store, "c")


@pytest.mark.parametrize("wanted", ["s-a", "a"])
def test_a_rollback_takes_a_specialist_or_a_task(store: MemoryStore, wanted: str) -> None:
    made = [conversion(member(name), specialist=f"s-{name}") for name in ("a", "b")]
    state.save_conversions(store, made)
    state.promote(store)
    assert [deployment.specialist for deployment in state.roll_back(store, wanted)] == ["s-a"]
    assert [deployment.specialist for deployment in state.deployments(store)] == ["s-b"]
    with pytest.raises(NotFound, match="live: s-b"):
        state.roll_back(store, wanted)


def test_a_full_night_replaces_everything_and_a_partial_one_its_own(store: MemoryStore) -> None:
    state.save_conversions(store, [conversion(member("a")), conversion(member("b"))])
    state.save_conversions(store, [conversion(member("b"))], partial=True)
    assert set(store.documents(state.CONVERSION)) == {"a", "b"}
    state.save_conversions(store, [conversion(member("b"))])
    assert set(store.documents(state.CONVERSION)) == {"b"}


@pytest.mark.parametrize("judged", [False, True])
def test_a_judged_specialist_that_got_another_confidence_has_to_be_promoted_again(
    store: MemoryStore, judged: bool
) -> None:
    made = conversion(member("a"))
    assert made.certificate is not None
    missed = replace(made.certificate, judge_missed=0.1 if judged else 0.0)
    made = replace(made, certificate=missed)
    state.save_conversions(store, [made])
    state.promote(store)
    state.save_conversions(store, [made])
    assert len(state.deployments(store)) == 1
    state.save_conversions(store, [replace(made, confidence=fit_confidence(scores(seed=1)))])
    assert len(state.deployments(store)) == (0 if judged else 1)


def test_rounds_are_counted_when_they_begin_and_never_back(store: MemoryStore) -> None:
    for begun, counted in ((1, 1), (1, 1), (2, 2), (1, 2)):
        state.begin_round(store, begun)
        assert state.rounds(store) == counted


def test_a_group_that_grew_replaces_what_its_members_had(store: MemoryStore) -> None:
    state.save_conversions(store, [conversion(member("b"))])
    state.save_conversions(store, [conversion(member("a"), member("b"))], partial=True)
    assert set(store.documents(state.CONVERSION)) == {"a"}


def call(number: int, model: str, tokens: tuple[int, int], at: float = 0.0) -> Call:
    return Call(f"c{number}", at, "s", "", {"model": model}, {}, usage=Usage(*tokens))


def measured(**fields: float) -> JsonObject:
    calls = [
        call(0, "gpt-4o", (100, 10)),
        call(1, "gpt-4o", (300, 30), at=2 * traffic.DAY_S),
        call(2, "gpt-4", (50, 5)),
    ]
    return traffic.measure(calls, {"c0": "t", "c1": "t"}, **fields)


def test_traffic_is_summed_by_task_and_read_back(store: MemoryStore) -> None:
    traffic.save(store, measured())
    found = traffic.load(store)
    assert found is not None
    by_task = {one.task: one for one in found.tasks}
    assert (by_task["t"].calls, by_task["t"].input_tokens, by_task["t"].output_tokens) == (2, 200.0, 20.0)
    assert (by_task["t"].model, by_task[""].model) == ("gpt-4o", "gpt-4")
    assert found.days == 2.0
    assert found.model == "gpt-4o"


def test_a_replays_days_are_given_and_short_windows_last_an_hour() -> None:
    assert measured(days=7.0)["days"] == 7.0
    assert traffic.measure([call(0, "m", (1, 1))], {})["days"] == traffic.LEAST_DAYS


def test_changes_of_tasks_are_added_up_discovery_by_discovery(store: MemoryStore) -> None:
    new = Change(ChangeKind.NEW, (), ("t-a",), (3,))
    split = Change(ChangeKind.SPLIT, ("t-a",), ("t-a", "t-b"), (2, 1))
    assert state.load_memory(store) is None
    state.save_tasks(store, [], {}, memory={"schema": 1}, changes=[new])
    state.save_tasks(store, [], {}, memory={"schema": 1, "portraits": []})
    state.save_tasks(store, [], {}, changes=[split])
    assert state.load_changes(store) == [(new,), (split,)]
    assert state.load_memory(store) == {"schema": 1, "portraits": []}
