"""The stages in order, on what a store holds."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from offramp.access import lineage
from offramp.core.dataset import PARTS
from offramp.core.errors import BadInput, NotFound
from offramp.curate.curate import curate
from offramp.curate.filter import require_consent
from offramp.curate.split import Shares
from offramp.discover.assign import Assigner
from offramp.discover.discover import discover
from offramp.discover.identity import Memory
from offramp.discover.verdict import judge
from offramp.loop import state, traffic
from offramp.loop.ladder import Brief
from offramp.loop.night import convert
from offramp.plan.prices import load_prices
from offramp.select import units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.call import Call
    from offramp.core.dataset import Dataset
    from offramp.core.task import Task
    from offramp.discover.discover import Discovery
    from offramp.loop.ladder import Workshop
    from offramp.loop.night import Conversion, Goal
    from offramp.plan.prices import Prices
    from offramp.select import Unit
    from offramp.storage.port import Store

    Say = Callable[[str], None]


SHARES = Shares(train=0.5, validation=0.15, calibration=0.35)
"""More calibration calls than is usual: they bound what a certificate covers before training does."""


@dataclass(slots=True)
class Stages:
    """Seconds by stage, in order.

    Attributes:
        seconds: Wall-clock seconds.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, stage: str, started: float) -> None:
        """Add the time since ``started`` (of ``time.perf_counter``) to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


def find_tasks(
    store: Store, stages: Stages, say: Say, *, days: float | None = None, prices: Prices | None = None
) -> tuple[list[Call], Discovery]:
    """Discover the tasks in the recorded calls and save them.

    Args:
        store: Holds the calls, takes the tasks.
        stages: Takes the seconds.
        say: Told what is going on.
        days: Days that the traffic stands for, where the calls' own times do not tell (a replay).
        prices: What the teachers cost; the bundled prices where not given.

    Raises:
        BadInput: No calls are recorded.
    """
    started = time.perf_counter()
    # What specialists answered is not the teacher's word and teaches nothing.
    calls = [call for call in store.calls() if call.route == "teacher"]
    if not calls:
        raise BadInput(
            "No calls are recorded yet.",
            hint="Send traffic through `offramp serve`, or `offramp import LOGS`.",
        )
    stages.timed("read", started)
    started = time.perf_counter()
    found = discover(calls, previous=_previous(store), price=_price(prices or load_prices()))
    discovery = _with_consent(found, calls)
    state.save_tasks(
        store,
        discovery.tasks,
        discovery.assigner.to_dict(),
        memory=discovery.memory.to_dict(),
        changes=discovery.changes,
    )
    traffic.save(store, traffic.measure(calls, discovery.assignment, days=days))
    stages.timed("discover", started)
    convertible = sum(task.convertible for task in discovery.tasks)
    say(f"Found {len(discovery.tasks)} tasks in {len(calls)} calls; {convertible} are convertible.")
    return calls, discovery


def _previous(store: Store) -> Memory | None:
    """Read what the last discovery left; None where there was none, or another offramp's."""
    memory, assigner = state.load_memory(store), state.load_assigner(store)
    if memory is None or assigner is None:
        return None
    return Memory.from_dict(memory, Assigner.from_dict(assigner))


def _price(prices: Prices) -> Callable[[Call], float]:
    """USD of a call; a model without a price, and a call whose tokens nobody counted, cost nothing."""

    def usd(call: Call) -> float:
        try:
            price = prices.price(str(call.request.get("model") or ""))
        except NotFound:
            return 0.0
        usage = call.usage
        return price.call(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)

    return usd


def _with_consent(discovery: Discovery, calls: Sequence[Call]) -> Discovery:
    """Judge each task by the calls that may be trained on; the others are seen, counted and not learned."""
    if all(call.trainable for call in calls):
        return discovery
    caught: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        caught[discovery.assignment.get(call.id, "")].append(call)
    return replace(discovery, tasks=tuple(_judged(task, caught[task.id]) for task in discovery.tasks))


def _judged(task: Task, calls: Sequence[Call]) -> Task:
    allowed = [call for call in calls if call.trainable]
    withheld = len(calls) - len(allowed)
    if not withheld or not task.convertible:
        return task
    if not allowed:
        reason = f"None of its {len(calls)} calls may be trained on: neither upstream nor key allows it."
        return replace(task, convertible=False, reason=reason)
    verdict = judge(allowed, len({call.session or call.id for call in allowed}))
    reason = f"{verdict.reason} {withheld} of its {len(calls)} calls may not be trained on."
    return replace(task, convertible=verdict.convertible and verdict.output is task.output, reason=reason)


def run_night(
    store: Store,
    found: tuple[Sequence[Call], Discovery],
    workshop: Workshop,
    goal: Goal,
    stages: Stages,
    say: Say,
    *,
    task: str | None = None,
) -> list[Conversion]:
    """Curate, train, choose and certify; save what came of it.

    Args:
        store: Where results go.
        found: The calls, and the tasks found in them.
        workshop: What candidates are made with.
        goal: What to promise; its round is counted on from the store's.
        stages: Takes the seconds.
        say: Told what is going on.
        task: Id of the one task to convert (with its group); all where not given.

    Raises:
        NotFound: There is no convertible task of that id.
        BadInput: A dataset holds a call that may not be trained on.
    """
    calls, discovery = found
    units = [unit for unit in units_of(discovery.tasks) if task is None or _serves(unit, task)]
    if task is not None and not units:
        raise NotFound(_unknown(discovery.tasks, task), hint="`offramp tasks` lists them.")
    started = time.perf_counter()
    datasets = [(unit, _curated(unit, calls, discovery)) for unit in units]
    stages.timed("curate", started)
    for unit, dataset in datasets:
        sizes = ", ".join(
            f"{len(dataset.parts[part])} {part}" for part in ("train", "validation", "calibration")
        )
        say(f"{unit.name}: {sizes}")
    goal = replace(goal, round=state.rounds(store) + 1)
    _admit(store, datasets)
    round_ = goal.round
    conversions = convert(datasets, workshop, goal, say, looking=lambda: state.begin_round(store, round_))
    state.save_conversions(store, conversions, partial=task is not None)
    for conversion in conversions:
        for stage, seconds in conversion.seconds.items():
            stages.seconds[stage] = stages.seconds.get(stage, 0.0) + seconds
    return conversions


def _admit(store: Store, datasets: Sequence[tuple[Unit, Dataset]]) -> None:
    """Let datasets through to training: with everybody's consent, and with their lineage written down."""
    require_consent(dataset for _, dataset in datasets)
    for unit, dataset in datasets:
        parts = {
            part: [item.call.id for item in (*dataset.parts[part], *dataset.repeats[part])] for part in PARTS
        }
        lineage.save(store, Brief(unit, dataset).fingerprint, unit.name, dataset.tasks, parts)


def _curated(unit: Unit, calls: Sequence[Call], discovery: Discovery) -> Dataset:
    return curate(calls, discovery.assignment, unit.tasks, shares=SHARES)


def _serves(unit: Unit, task: str) -> bool:
    return any(task in (member.id, member.slug, member.name) for member in unit.tasks)


def _unknown(tasks: Sequence[Task], task: str) -> str:
    for known in tasks:
        if task in (known.id, known.slug, known.name):
            return f"Task {known.name!r} is not convertible: {known.reason}"
    return f"There is no task {task!r} among the {len(tasks)} discovered."
