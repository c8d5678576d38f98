"""Which tasks share one specialist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.call import OutputType

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    def is_group(self) -> bool:
        """Whether several tasks share the specialist."""
        return len(self.tasks) > 1


def units_of(tasks: Iterable[Task]) -> list[Unit]:
    """Form the units of the convertible tasks, most calls first.

    Tasks whose answers are labels stand alone: their label sets differ. Tasks whose answers are tool
    calls are pooled: alone they have too few calls to learn copying arguments from, and to certify.
    """
    convertible = sorted((t for t in tasks if t.convertible), key=lambda t: (-t.calls, t.id))
    pooled = tuple(t for t in convertible if t.output is OutputType.TOOL_CALL)
    units = [Unit(t.name, (t,), t.output) for t in convertible if t.output is not OutputType.TOOL_CALL]
    if pooled:
        name = pooled[0].name if len(pooled) == 1 else f"{len(pooled)} tool-call tasks"
        units.append(Unit(name, pooled, OutputType.TOOL_CALL))
    return sorted(units, key=lambda unit: -sum(task.calls for task in unit.tasks))
