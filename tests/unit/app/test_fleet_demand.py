from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from offramp.app.fleet import Question, make_fleet_plan
from offramp.app.fleet_demand import UNMEASURED_S, demand_of
from offramp.config import Settings
from offramp.core.call import Call, Usage
from offramp.core.errors import NotFound
from offramp.loop import demand, state, traffic
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

BASE = "Qwen/Qwen3-0.6B"


def call(number: int, model: str, latency_s: float) -> Call:
    usage = Usage(400, 12)
    return Call(f"c{number}", 60.0 * number, "s", "", {"model": model}, {}, latency_s=latency_s, usage=usage)


def conversion(kind: str, specialist: str, task: str) -> dict[str, Any]:
    member = {"task": task, "n": 50, "answered": 40, "deferred": False}
    return {
        "certified": True,
        "chosen": {"kind": kind},
        "specialist": specialist,
        "certificate": {"members": [member]},
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path)
    folder = found.specialists_path / "lora-1" / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8}))
    return replace(found, train=replace(found.train, base=BASE))


@pytest.fixture
def store() -> MemoryStore:
    calls = [call(number, "gpt-4.1", 2.0) for number in range(600)]
    assignment = {f"c{number}": "t-1" if number < 400 else "t-2" for number in range(590)}
    kept = MemoryStore()
    traffic.save(kept, traffic.measure(calls, assignment))
    demand.save(kept, demand.measure(calls, assignment))
    kept.put(state.CONVERSION, "t-1", conversion("lora", "lora-1", "t-1"))
    kept.put(state.CONVERSION, "t-2", conversion("classifier", "classifier-1", "t-2"))
    kept.put(state.CONVERSION, "t-3", {**conversion("lora", "lora-2", "t-3"), "certified": False})
    return kept


def test_measured_calls_and_certified_specialists_make_a_demand(
    store: MemoryStore, settings: Settings
) -> None:
    found, notes = demand_of(store, settings)
    by_task = {task.task: task for task in found.tasks}
    (choice,) = by_task["t-1"].choices
    assert (choice.specialist, choice.base, choice.rank, choice.coverage) == ("lora-1", BASE, 8, 0.8)
    assert by_task["t-2"].choices == by_task["(no task)"].choices == ()
    assert by_task["t-1"].objective_s == 2.0
    assert by_task["t-1"].llm_usd > 0
    assert notes == ("1 certified specialists run beside the gateway and need none of these devices",)


def test_objectives_can_be_given_and_have_a_default(store: MemoryStore, settings: Settings) -> None:
    found, _ = demand_of(store, settings, objective_s=0.7)
    assert {task.objective_s for task in found.tasks} == {0.7}
    silent = [call(number, "gpt-4.1", 0.0) for number in range(10)]
    demand.save(store, demand.measure(silent, {}))
    assert demand_of(store, settings)[0].tasks[0].objective_s == UNMEASURED_S


def test_the_bundled_base_reads_short_texts(store: MemoryStore, settings: Settings) -> None:
    nano = Settings(home=settings.home)
    choices = [choice for task in demand_of(store, nano)[0].tasks for choice in task.choices]
    assert [len(choice.lengths) for choice in choices] == [1]


def test_a_model_without_a_price_is_said(settings: Settings) -> None:
    store = MemoryStore()
    calls = [call(number, "nobody-sells-this", 1.0) for number in range(10)]
    traffic.save(store, traffic.measure(calls, {}))
    demand.save(store, demand.measure(calls, {}))
    assert demand_of(store, settings)[1] == (
        "no price is known for nobody-sells-this: its calls count as free",
    )


def test_a_store_is_planned_for(store: MemoryStore, settings: Settings, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.json"
    fleet.write_text('{"devices": [{"kind": "l4", "price_per_hour": 0.0001}]}')
    found = make_fleet_plan(Question(str(fleet), None), settings, store)
    assert {one.specialist for one in found.tasks} == {"lora-1", ""}
    assert found.notes[-1].startswith("1 certified specialists")


def test_an_empty_store_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(NotFound, match="offramp tasks"):
        demand_of(MemoryStore(), settings)


def test_a_cheaper_model_with_a_price_is_compared_with(store: MemoryStore, settings: Settings) -> None:
    named = replace(settings, train=replace(settings.train, cheaper="gpt-4.1-nano"))
    tasks = demand_of(store, named)[0].tasks
    assert all(0 < task.cheaper_usd < task.llm_usd for task in tasks)
    assert all(task.cheaper_usd == 0 for task in demand_of(store, settings)[0].tasks)
