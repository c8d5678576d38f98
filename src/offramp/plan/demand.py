"""What a fleet is planned for: the calls of each task by window of time, and who could answer them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from offramp.core.json import JsonObject

CUTS = (0.3, 0.6, 0.8, 0.9, 0.97, 0.995)
"""Quantiles between the cells that lengths are summed up in."""
TAIL = 4
"""The first cell that stands for its longest calls."""


@dataclass(frozen=True, slots=True)
class Length:
    """Calls of one length.

    Attributes:
        prompt: Prompt tokens.
        completion: Tokens generated.
        weight: Share of the task's calls.
    """

    prompt: int
    completion: int
    weight: float

    def __post_init__(self) -> None:
        if self.prompt < 0 or self.completion < 1 or not self.weight > 0:
            raise BadInput(
                f"A length has {self.prompt} prompt and {self.completion} generated tokens with weight "
                f"{self.weight:g}; allowed are 0 or more, 1 or more, above 0."
            )


@dataclass(frozen=True, slots=True)
class Choice:
    """One specialist that could answer a task.

    Attributes:
        specialist: Its id; the model name it is asked by.
        base: Name of the base it runs on.
        rank: Rank of its adapter on the base; 0 where the base itself answers.
        coverage: Share of the calls that it answers, 0 to 1.
        audit_share: Share of the answered calls that the LLM is asked as well.
        lengths: Lengths of its calls; the task's where there are none.
    """

    specialist: str
    base: str
    rank: int
    coverage: float
    audit_share: float = 0.05
    lengths: tuple[Length, ...] = ()

    def __post_init__(self) -> None:
        if not self.specialist or not self.base or self.rank < 0:
            raise BadInput(
                f"A choice has specialist {self.specialist!r}, base {self.base!r} and rank {self.rank}; "
                "it needs names, and a rank of 0 or more."
            )
        if not (0 <= self.coverage <= 1 and 0 <= self.audit_share <= 1):
            raise BadInput(
                f"Specialist {self.specialist!r} has coverage {self.coverage:g} and audit share "
                f"{self.audit_share:g}; allowed is 0 to 1."
            )

    @property
    def taken_off(self) -> float:
        """Share of the calls that the LLM no longer sees: answered, less those asked twice."""
        return self.coverage * (1.0 - self.audit_share)


@dataclass(frozen=True, slots=True)
class TaskDemand:
    """The calls of one task.

    Attributes:
        task: Its id.
        rates: Calls per second in each window.
        lengths: Distribution of their lengths; weights are taken relative to their sum.
        objective_s: Seconds from arrival to the last token that are allowed.
        choices: Who could answer; none leaves the task with the LLM.
        burst: Variance over mean of the arrivals within a window, at least 1 (Poisson).
        llm_usd: USD of one call on the LLM that answers today.
        cheaper_usd: USD of one call on a cheaper model to compare with; 0 where none is known.
    """

    task: str
    rates: tuple[float, ...]
    lengths: tuple[Length, ...]
    objective_s: float
    choices: tuple[Choice, ...] = ()
    burst: float = 1.0
    llm_usd: float = 0.0
    cheaper_usd: float = 0.0

    def __post_init__(self) -> None:
        if not self.task or not self.rates or not self.lengths:
            raise BadInput(f"Demand of task {self.task!r} needs a task, rates and lengths.")
        if (
            min(self.rates) < 0
            or self.objective_s <= 0
            or self.burst < 1
            or min(self.llm_usd, self.cheaper_usd) < 0
        ):
            raise BadInput(
                f"Demand of task {self.task!r} has a lowest rate of {min(self.rates):g}, an objective of "
                f"{self.objective_s:g} s, a burst of {self.burst:g}, {self.llm_usd:g} and "
                f"{self.cheaper_usd:g} USD per call; "
                "allowed are 0 or more, above 0, 1 or more, 0 or more."
            )
        names = [choice.specialist for choice in self.choices]
        if len(names) != len(set(names)):
            raise BadInput(f"Task {self.task!r} has two choices of one name: {', '.join(sorted(names))}.")

    @property
    def mean_rate(self) -> float:
        """Calls per second over all windows."""
        return sum(self.rates) / len(self.rates)

    def lengths_of(self, choice: Choice) -> tuple[Length, ...]:
        """Return the lengths of a choice's calls."""
        return choice.lengths or self.lengths

    def llm_usd_per_hour(self, choice: Choice | None) -> float:
        """USD an hour that the LLM still costs; all of it where the task stays with it."""
        left = 1.0 if choice is None else 1.0 - choice.taken_off
        return 3600.0 * self.mean_rate * self.llm_usd * left


@dataclass(frozen=True, slots=True)
class Demand:
    """The calls of all tasks.

    Attributes:
        tasks: By task; all have the same number of windows.
        window_s: Seconds of one window.
    """

    tasks: tuple[TaskDemand, ...]
    window_s: float = 3600.0

    def __post_init__(self) -> None:
        counts = sorted({len(task.rates) for task in self.tasks})
        names = [task.task for task in self.tasks]
        if len(counts) > 1 or self.window_s <= 0:
            raise BadInput(
                f"Tasks have {' and '.join(map(str, counts))} windows of {self.window_s:g} s; "
                "all need the same number, and windows are longer than 0."
            )
        if len(names) != len(set(names)):
            raise BadInput(f"A demand has two tasks of one id; they are {', '.join(sorted(names))}.")

    @property
    def windows(self) -> int:
        """How many there are."""
        return len(self.tasks[0].rates) if self.tasks else 0

    @property
    def bases(self) -> tuple[str, ...]:
        """Names of all bases that any choice runs on, sorted."""
        return tuple(sorted({choice.base for task in self.tasks for choice in task.choices}))

    def without(self, task: str) -> Demand:
        """Return the demand without one task."""
        return Demand(tuple(one for one in self.tasks if one.task != task), self.window_s)

    def to_dict(self) -> JsonObject:
        """Render as `read_demand` reads it."""
        return {"window_s": self.window_s, "tasks": [_task_row(task) for task in self.tasks]}


def lengths_from(prompt: NDArray[np.int64], completion: NDArray[np.int64]) -> tuple[Length, ...]:
    """Sum up the lengths of single calls in a few.

    Cells are cut by prompt and by completion at `CUTS`, so that neither tail hides behind the other. A cell
    is its mean up to the first of the long ones, `TAIL`, and its longest from there on.

    Args:
        prompt: Prompt tokens of each call, shape ``(n,)``, n at least 1.
        completion: Tokens generated, shape ``(n,)``; none counts as one.
    """
    generated = np.maximum(completion, 1)
    cells = [np.searchsorted(np.quantile(column, CUTS), column) for column in (prompt, generated)]
    found = []
    for row, column in sorted({(int(a), int(b)) for a, b in zip(*cells, strict=True)}):
        mine = (cells[0] == row) & (cells[1] == column)
        sizes = [
            part[mine].max() if cell >= TAIL else part[mine].mean()
            for part, cell in ((prompt, row), (generated, column))
        ]
        found.append(Length(math.ceil(sizes[0]), math.ceil(sizes[1]), float(mine.mean())))
    return tuple(found)


def read_demand(value: Mapping[str, object]) -> Demand:
    """Read a demand from JSON or TOML.

    Raises:
        BadInput: A field is missing, unknown or not what it has to be.
    """
    rows = value.get("tasks")
    if not isinstance(rows, list) or not rows:
        raise BadInput('A demand is {"window_s": SECONDS, "tasks": [...]} with at least one task.')
    try:
        return Demand(tuple(_task(row) for row in rows), float(str(value.get("window_s", 3600.0))))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadInput(
            f"The demand cannot be read: {error!r}.", hint="examples/plan/demand.json shows one."
        ) from error


def _task(row: JsonObject) -> TaskDemand:
    facts = {**row, "rates": tuple(float(rate) for rate in row["rates"])}
    facts["lengths"] = _lengths(row["lengths"])
    facts["choices"] = tuple(
        Choice(**{**one, "lengths": _lengths(one.get("lengths", ()))}) for one in row.get("choices", ())
    )
    return TaskDemand(**facts)


def _lengths(rows: Sequence[Sequence[float]]) -> tuple[Length, ...]:
    return tuple(Length(int(prompt), int(completion), float(weight)) for prompt, completion, weight in rows)


def _task_row(task: TaskDemand) -> JsonObject:
    return {
        "task": task.task,
        "rates": list(task.rates),
        "lengths": _length_rows(task.lengths),
        "objective_s": task.objective_s,
        "burst": task.burst,
        "llm_usd": task.llm_usd,
        "cheaper_usd": task.cheaper_usd,
        "choices": [
            {
                "specialist": one.specialist,
                "base": one.base,
                "rank": one.rank,
                "coverage": one.coverage,
                "audit_share": one.audit_share,
                "lengths": _length_rows(one.lengths),
            }
            for one in task.choices
        ],
    }


def _length_rows(lengths: tuple[Length, ...]) -> list[list[float]]:
    return [[one.prompt, one.completion, one.weight] for one in lengths]
