"""The stages in order, on what a store holds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, NotFound
from offramp.curate.curate import curate
from offramp.curate.split import Shares
from offramp.discover.discover import discover
from offramp.loop import state, traffic
from offramp.loop.night import convert
from offramp.select import units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.call import Call
    from offramp.core.dataset import Dataset
    from offramp.core.task import Task
    from offramp.discover.discover import Discovery
    from offramp.loop.ladder import Workshop
    from offramp.loop.night import Conversion, Goal
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
    store: Store, stages: Stages, say: Say, *, days: float | None = None
) -> tuple[list[Call], Discovery]:
    """Discover the tasks in the recorded calls and save them.

    Args:
        store: Holds the calls, takes the tasks.
        stages: Takes the seconds.
        say: Told what is going on.
        days: Days that the traffic stands for, where the calls' own times do not tell (a replay).

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
    discovery = discover(calls)
    state.save_tasks(store, discovery.tasks, discovery.assigner.to_dict())
    traffic.save(store, traffic.measure(calls, discovery.assignment, days=days))
    stages.timed("discover", started)
    convertible = sum(task.convertible for task in discovery.tasks)
    say(f"Found {len(discovery.tasks)} tasks in {len(calls)} calls; {convertible} are convertible.")
    return calls, discovery


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
    conversions = convert(datasets, workshop, goal, say)
    state.save_conversions(store, conversions, goal.round, partial=task is not None)
    for conversion in conversions:
        for stage, seconds in conversion.seconds.items():
            stages.seconds[stage] = stages.seconds.get(stage, 0.0) + seconds
    return conversions


def _curated(unit: Unit, calls: Sequence[Call], discovery: Discovery) -> Dataset:
    return curate(calls, discovery.assignment, unit.tasks, shares=SHARES)


def _serves(unit: Unit, task: str) -> bool:
    return any(task in (member.id, member.slug, member.name) for member in unit.tasks)


def _unknown(tasks: Sequence[Task], task: str) -> str:
    for known in tasks:
        if task in (known.id, known.slug, known.name):
            return f"Task {known.name!r} is not convertible: {known.reason}"
    return f"There is no task {task!r} among the {len(tasks)} discovered."
