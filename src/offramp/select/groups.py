"""Which tasks share one specialist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.call import OutputType
from offramp.core.measure import default_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.core.measure import Measure
    from offramp.core.task import Task


@dataclass(frozen=True, slots=True)
class Unit:
    """What one specialist is trained for: a task, or a group of tasks with one kind of answer.

    Attributes:
        name: Readable name.
        tasks: The tasks, largest first.
        output: Form of all their answers.
    """

    name: str
    tasks: tuple[Task, ...]
    output: OutputType

    @property
    def measure(self) -> Measure | None:
        """In which sense answers are compared: the same for all tasks; the form's own where none was said."""
        return self.tasks[0].measure or default_of(self.output)

    @property
    def is_group(self) -> bool:
        """Whether several tasks share the specialist."""
        return len(self.tasks) > 1


def units_of(tasks: Iterable[Task]) -> list[Unit]:
    """Form the units of the convertible tasks, most calls first.

    Tasks whose answers are labels stand alone: their label sets differ. Tasks whose answers are tool
    calls are pooled: alone they have too few calls to learn copying arguments from, and to certify. Tasks
    whose answers are compared in different senses are pooled apart: one certificate has one measure.
    """
    convertible = sorted((t for t in tasks if t.convertible), key=lambda t: (-t.calls, t.id))
    units = [Unit(t.name, (t,), t.output) for t in convertible if t.output is not OutputType.TOOL_CALL]
    pools: dict[Measure | None, list[Task]] = {}
    for task in convertible:
        if task.output is OutputType.TOOL_CALL:
            pools.setdefault(task.measure or default_of(task.output), []).append(task)
    for pooled in pools.values():
        name = pooled[0].name if len(pooled) == 1 else f"{len(pooled)} tool-call tasks"
        units.append(Unit(name, tuple(pooled), OutputType.TOOL_CALL))
    return sorted(units, key=lambda unit: -sum(task.calls for task in unit.tasks))
