"""Calls that may not be trained on are seen, counted, never learned from; what was learned has a lineage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offramp.access import lineage
from offramp.core.errors import BadInput
from offramp.curate import filter as sieve
from offramp.curate.curate import curate
from offramp.curate.filter import require_consent
from offramp.loop import state
from offramp.loop.ladder import Workshop
from offramp.loop.night import Goal
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import Agent, calls_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.loop.night import Conversion

SESSIONS = 240


def recorded(*, withheld: Callable[[int], bool], sessions: int = SESSIONS) -> list[Call]:
    agent = Agent()
    calls = calls_of([agent.route() for _ in range(sessions)])
    return [replace(call, trainable=not withheld(number)) for number, call in enumerate(calls)]


def store_of(calls: Sequence[Call]) -> MemoryStore:
    store = MemoryStore()
    store.append(calls)
    return store


def night(store: MemoryStore, folder: Path) -> list[Conversion]:
    found = find_tasks(store, Stages(), lambda _: None)
    workshop = Workshop(
        folder, HashEmbedder(), lambda: RuleEngine(lambda _: ("", 0.0)), FakeTraining(), "nano"
    )
    return run_night(store, found, workshop, Goal(0.1, 0.4), Stages(), lambda _: None)


def test_no_dataset_holds_a_call_that_may_not_be_trained_on(tmp_path: Path) -> None:
    calls = recorded(withheld=lambda number: number % 5 == 0)
    store = store_of(calls)
    (conversion,) = night(store, tmp_path)
    withheld = [call.id for call in calls if not call.trainable]
    assert len(withheld) == SESSIONS // 5
    assert lineage.built_from(store, withheld) == []
    (built,) = lineage.built_from(store, [call.id for call in calls])
    assert sum(built.calls.values()) == SESSIONS - len(withheld)
    assert conversion.card["dropped"] == {sieve.NOT_TRAINABLE: len(withheld)}


def test_the_reason_and_the_number_are_in_the_list_of_tasks() -> None:
    store = store_of(recorded(withheld=lambda number: number % 5 == 0))
    find_tasks(store, Stages(), lambda _: None)
    (task,) = state.load_tasks(store)
    assert task.convertible
    assert task.calls == SESSIONS
    assert f"{SESSIONS // 5} of its {SESSIONS} calls may not be trained on" in task.reason


def test_a_task_is_judged_by_what_may_be_trained_on() -> None:
    store = store_of(recorded(withheld=lambda number: number >= 20))
    find_tasks(store, Stages(), lambda _: None)
    (task,) = state.load_tasks(store)
    assert not task.convertible
    assert "Too few calls: 20 sessions" in task.reason


def test_a_task_without_any_consent_is_no_unit_and_says_why(tmp_path: Path) -> None:
    store = store_of(recorded(withheld=lambda _: True))
    assert night(store, tmp_path) == []
    (task,) = state.load_tasks(store)
    assert task.reason == (
        f"None of its {SESSIONS} calls may be trained on: neither upstream nor key allows it."
    )


def test_with_everybodys_consent_nothing_is_said_of_it() -> None:
    store = store_of(recorded(withheld=lambda _: False))
    find_tasks(store, Stages(), lambda _: None)
    (task,) = state.load_tasks(store)
    assert "trained" not in task.reason


@pytest.mark.parametrize("part", ["train", "validation", "calibration"])
@pytest.mark.parametrize("where", ["parts", "repeats"])
def test_a_call_that_got_through_stops_everything_right_before_training(part: str, where: str) -> None:
    store = store_of(recorded(withheld=lambda _: False))
    calls, discovery = find_tasks(store, Stages(), lambda _: None)
    dataset = curate(calls, discovery.assignment, discovery.tasks)
    require_consent([dataset])
    item = dataset.parts["train"][0]
    planted = replace(item, call=replace(item.call, trainable=False))
    parts, repeats = dict(dataset.parts), dict(dataset.repeats)
    (parts if where == "parts" else repeats)[part] = (planted,)
    with pytest.raises(BadInput, match="1 calls of the dataset"):
        require_consent([dataset, replace(dataset, parts=parts, repeats=repeats)])


def test_every_specialist_on_the_disk_has_its_lineage(tmp_path: Path) -> None:
    store = store_of(recorded(withheld=lambda _: False))
    night(store, tmp_path)
    folders = lineage.folders(tmp_path)
    assert {folder.kind for folder in folders} >= {"cache", "classifier"}
    assert {folder.dataset for folder in folders} == set(store.documents(lineage.DATASET))


def conversion(specialist: str, *, task: str) -> JsonObject:
    proof = {"threshold": 0.9, "alpha": 0.1, "delta": 0.1, "scope": "task", "mix": {}, "mix_tolerance": 1.0}
    certificate = {**proof, "members": [{"task": task, "deferred": False}], "reason": "It holds."}
    return {"specialist": specialist, "tasks": [task], "certified": True, "certificate": certificate}


@pytest.fixture
def live() -> MemoryStore:
    store = MemoryStore()
    for name in ("a", "b"):
        store.put(state.CONVERSION, f"t-{name}", conversion(f"lora-{name}", task=f"t-{name}"))
        store.put(state.CONFIDENCE, f"lora-{name}", {})
    state.promote(store)
    return store


def test_what_is_marked_serves_on_and_is_not_promoted_again(live: MemoryStore) -> None:
    state.mark_for_retraining(live, "lora-a", "because")
    assert state.marked_for_retraining(live) == {"lora-a": "because"}
    assert {one.specialist for one in state.deployments(live)} == {"lora-a", "lora-b"}
    assert [one.specialist for one in state.promote(live)] == ["lora-b"]


def test_what_is_retired_is_out_for_good_and_says_why(live: MemoryStore) -> None:
    state.mark_for_retraining(live, "lora-a", "because")
    assert state.retire(live, "lora-a", "Retired.")
    assert [one.specialist for one in state.deployments(live)] == ["lora-b"]
    assert [one.specialist for one in state.promote(live)] == ["lora-b"]
    assert state.marked_for_retraining(live) == {}
    assert set(live.documents(state.CONFIDENCE)) == {"lora-b"}
    assert live.documents(state.CONVERSION)["t-a"]["certificate"]["reason"] == "Retired."
    assert not state.retire(live, "lora-a", "Retired.")
