"""The stages in order, on what a store holds."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.access import lineage
from offramp.core.dataset import PARTS
from offramp.core.errors import BadInput, NotFound
from offramp.curate.curate import curate
from offramp.curate.filter import require_consent
from offramp.curate.split import Shares
from offramp.loop import state
from offramp.loop.find import Stages, find_tasks
from offramp.loop.ladder import Brief
from offramp.loop.night import convert
from offramp.select import units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.dataset import Dataset
    from offramp.core.task import Task
    from offramp.discover.discover import Discovery
    from offramp.loop.find import Say
    from offramp.loop.ladder import Workshop
    from offramp.loop.night import Conversion, Goal
    from offramp.select import Unit
    from offramp.storage.port import Store

__all__ = ["SHARES", "Stages", "find_tasks", "run_night"]

SHARES = Shares(train=0.5, validation=0.15, calibration=0.35)
"""More calibration calls than is usual: they bound what a certificate covers before training does."""


def run_night(
    store: Store,
    found: tuple[Sequence[Call], Discovery],
    workshop: Workshop,
    goal: Goal,
    stages: Stages,
    say: Say,
    *,
    task: str | None = None,
    worth: Callable[[Unit], float] | None = None,
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
        worth: What a unit could save; the dearest is converted first, the largest where not given.

    Raises:
        NotFound: There is no convertible task of that id.
        BadInput: A dataset holds a call that may not be trained on, or the one task has none to learn from.
    """
    discovery = found[1]
    units = [unit for unit in units_of(discovery.tasks) if task is None or _serves(unit, task)]
    if worth is not None:
        units.sort(key=worth, reverse=True)
    if task is not None and not units:
        raise NotFound(_unknown(discovery.tasks, task), hint="`offramp tasks` lists them.")
    started = time.perf_counter()
    datasets = list(_curated(units, found, workshop.min_origins, say))
    if task is not None and not datasets:
        raise BadInput(f"No call of task {task!r} can be learned from.", hint="`offramp tasks` shows it.")
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


def _curated(
    units: Sequence[Unit], found: tuple[Sequence[Call], Discovery], min_origins: int, say: Say
) -> Iterator[tuple[Unit, Dataset]]:
    """Curate each unit; one that no call can be learned from does not stop the others."""
    calls, discovery = found
    for unit in units:
        try:
            assignment = discovery.assignment
            yield unit, curate(calls, assignment, unit.tasks, shares=SHARES, min_origins=min_origins)
        except BadInput as error:
            say(f"{unit.name}: left out: {error.message}")


def _serves(unit: Unit, task: str) -> bool:
    return any(task in member.names for member in unit.tasks)


def _unknown(tasks: Sequence[Task], task: str) -> str:
    for known in tasks:
        if task in known.names:
            return f"Task {known.name!r} is not convertible: {known.reason}"
    return f"There is no task {task!r} among the {len(tasks)} discovered."
