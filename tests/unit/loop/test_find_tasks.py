"""What a discovery leaves in the store, and what the next one makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offramp.certify.ceiling import LEAST
from offramp.core.call import OutputType, Usage
from offramp.core.measure import EVERY_TASK, Measure, Measures
from offramp.core.task import ChangeKind
from offramp.loop import demand, state
from offramp.loop.pipeline import Stages, find_tasks
from offramp.plan.prices import ModelPrice, Prices
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import Agent, calls_of, say

PRICES = Prices({"gpt-4o": ModelPrice(input=10.0, cached_input=10.0, output=100.0)})


def silent(_: str) -> None:
    """Nobody listens."""


def store_of(*kinds: str, first: int = 0) -> MemoryStore:
    store, agent = MemoryStore(), Agent(first)
    store.append(calls_of([getattr(agent, kind)() for _ in range(70) for kind in kinds], first=first))
    return store


def test_ids_persist_and_changes_are_stored() -> None:
    store = store_of("route", "light")
    _, first = find_tasks(store, Stages(), silent)
    assert first.changes == ()
    store.append(calls_of([Agent(9).play() for _ in range(70)], first=1_000))
    _, second = find_tasks(store, Stages(), silent)
    assert {task.id for task in first.tasks} < {task.id for task in second.tasks}
    assert [change.kind for change in second.changes] == [ChangeKind.NEW]
    assert state.load_changes(store) == [second.changes]
    _, third = find_tasks(store, Stages(), silent)
    assert third.changes == ()
    assert state.load_changes(store) == [second.changes]
    assert third.tasks == second.tasks == tuple(state.load_tasks(store))


def test_a_memory_of_another_version_is_not_used() -> None:
    store = store_of("route")
    find_tasks(store, Stages(), silent)
    store.put(state.RUN, "memory", {"schema": 99})
    assert find_tasks(store, Stages(), silent)[1].changes == ()


def test_costs_come_from_the_prices_and_a_model_without_one_costs_nothing() -> None:
    store = store_of("route")
    calls = list(store.calls())
    assert {call.usage for call in calls} == {Usage(60, 8)}
    task = find_tasks(store, Stages(), silent, prices=PRICES)[1].tasks[0]
    assert task.profile.cost_usd == pytest.approx(len(calls) * (60 * 10.0 + 8 * 100.0) / 1e6)
    unknown = find_tasks(store, Stages(), silent, prices=Prices({}))[1].tasks[0]
    assert unknown.profile.cost_usd == 0.0


def test_measures_go_to_the_tasks_they_were_chosen_for_and_others_are_named() -> None:
    store, said = store_of("light", "route"), list[str]()
    (light,) = (t for t in find_tasks(store, Stages(), silent)[1].tasks if t.output is OutputType.TOOL_CALL)
    chosen = Measures(tasks={light.slug: Measure.TOOLS_LOOSE, "nobody": Measure.TEXT})
    _, found = find_tasks(store, Stages(), said.append, measures=chosen)
    assert {t.output: t.measure for t in found.tasks} == {
        OutputType.TOOL_CALL: Measure.TOOLS_LOOSE,
        OutputType.LABEL: Measure.LABEL,
    }
    assert sorted(state.load_tasks(store), key=lambda t: t.id) == sorted(found.tasks, key=lambda t: t.id)
    assert [line for line in said if "none of these tasks" in line] == [
        "The settings choose a measure of agreement for 'nobody', which is none of these tasks."
    ]


def asked_twice(questions: int, first: str, second: str, *, once: int = 20) -> MemoryStore:
    """Each question twice, with the given answers, and some others once."""
    agent, pairs = Agent(3), []
    for _ in range(questions):
        request, _ = agent.route()
        pairs += [(request, say(first)), (request, say(second))]
    pairs += [agent.route() for _ in range(once)]
    store = MemoryStore()
    store.append(calls_of(pairs))
    return store


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [("billing", "Billing.", 1.0), ("billing", "shipping", 0.0)],
)
def test_a_task_knows_how_often_its_teacher_agrees_with_itself_in_its_own_sense(
    first: str, second: str, share: float
) -> None:
    store = asked_twice(LEAST, first, second)
    (task,) = find_tasks(store, Stages(), silent, prices=PRICES)[1].tasks
    assert (task.profile.repeats, task.profile.self_agreement) == (LEAST, share)
    assert task.profile.saving_usd == pytest.approx(share * task.profile.cost_usd)
    assert state.load_tasks(store) == [task]


def test_few_repeats_do_not_lower_the_expected_saving() -> None:
    store = asked_twice(LEAST - 1, "billing", "shipping", once=40)
    (task,) = find_tasks(store, Stages(), silent, prices=PRICES)[1].tasks
    assert (task.profile.repeats, task.profile.self_agreement) == (LEAST - 1, 0.0)
    assert task.profile.saving_usd == task.profile.cost_usd


@pytest.mark.parametrize("judged", [False, True])
def test_what_only_a_judge_could_compare_agrees_where_it_is_the_same_text(judged: bool) -> None:
    agent, pairs = Agent(0), []
    for number in range(70):
        request, response = agent.rhyme()
        text = response["choices"][0]["message"]["content"]
        pairs += [(request, say(text)), (request, say(text.upper() if number % 2 else f"Not {text}"))]
    store = MemoryStore()
    store.append(calls_of(pairs))
    measures = Measures(judge="j", judged=frozenset({EVERY_TASK})) if judged else Measures()
    (task,) = find_tasks(store, Stages(), silent, measures=measures)[1].tasks
    assert task.measure == (Measure.JUDGE if judged else None)
    assert (task.profile.repeats, task.profile.self_agreement) == (70, 0.5)


def test_calls_that_specialists_answered_are_demand_for_their_task() -> None:
    store = store_of("route", "light")
    _, first = find_tasks(store, Stages(), silent, days=1.0)
    before = demand.load(store)
    assert before is not None
    more = calls_of([Agent(0).route() for _ in range(70)], first=5_000)
    store.append([replace(call, route="s-1") for call in more])
    find_tasks(store, Stages(), silent, days=1.0)
    after = demand.load(store)
    assert after is not None
    grown = {
        task: sum(after["tasks"][task]["rates"]) / sum(facts["rates"])
        for task, facts in before["tasks"].items()
    }
    assert sorted(round(ratio) for ratio in grown.values()) == [1, 2]
    assert len(first.tasks) == 2
