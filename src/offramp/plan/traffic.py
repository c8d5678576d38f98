"""What is to be planned for: the calls of each task, and who could answer them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.plan.shape import ModelShape

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class TaskTraffic:
    """The calls of one task in the observed window.

    Attributes:
        task: Task id ("" for calls that fit no task).
        calls: How many.
        input_tokens: Mean prompt tokens of a call, as the provider bills them.
        output_tokens: Mean completion tokens of a call.
        cached_input_tokens: Of the prompt tokens, those billed at the cached price.
        model: The teacher of this task; "" means the traffic's.
    """

    task: str
    calls: int
    input_tokens: float
    output_tokens: float
    cached_input_tokens: float = 0.0
    model: str = ""

    def __post_init__(self) -> None:
        if min(self.calls, self.input_tokens, self.output_tokens, self.cached_input_tokens) < 0:
            raise BadInput(f"Traffic of task {self.task!r} has a negative number of calls or tokens.")
        if self.cached_input_tokens > self.input_tokens:
            raise BadInput(
                f"Traffic of task {self.task!r} has {self.cached_input_tokens:g} cached of "
                f"{self.input_tokens:g} input tokens; the cached ones are a part of the input."
            )


@dataclass(frozen=True, slots=True)
class Traffic:
    """All calls of a window of time.

    Attributes:
        model: The teacher: the model that answers today, as the provider names it.
        days: Length of the window in days.
        tasks: Calls by task.
        peak_factor: Busiest hour over the mean; capacity is planned for the peak, money for the mean.
    """

    model: str
    days: float
    tasks: tuple[TaskTraffic, ...]
    peak_factor: float = 3.0

    def __post_init__(self) -> None:
        if self.days <= 0 or self.peak_factor < 1:
            raise BadInput(
                f"Traffic covers {self.days:g} days with a peak factor of {self.peak_factor:g}; "
                "the days must be above 0 and the factor at least 1."
            )

    @property
    def calls(self) -> int:
        """Calls of all tasks."""
        return sum(task.calls for task in self.tasks)

    def peak_rate(self, task: TaskTraffic) -> float:
        """Calls per second of a task in the busiest hour."""
        return task.calls / (self.days * SECONDS_PER_DAY) * self.peak_factor

    def teacher(self, task: TaskTraffic) -> str:
        """Name of the model that answers this task today."""
        return task.model or self.model


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could answer a task in the teacher's place, and what it costs to have it.

    Attributes:
        task: Task id.
        specialist: Id of the specialist. Candidates with the same one share its memory and training.
        kind: Name of the kind, for tables.
        coverage: Share of the task's calls that it answers, 0 to 1.
        audit_share: Share of the answered calls that the teacher is asked as well, 0 to 1.
        base: The shared weights; None for a candidate that brings its own (``memory_bytes``).
        rank: Rank of its adapter on the base; 0 for none.
        prompt_tokens: Tokens it reads per call; None takes the task's (static prompt included).
        completion_tokens: Tokens it writes per call; None takes the task's.
        seconds_per_call: Measured device seconds per call; None takes the roofline (needs a base).
        memory_bytes: Memory besides base and adapter.
        training_seconds: Device seconds that its training took, once.
        usd_per_call: What a provider bills for asking it about one call, answered or not.
        training_usd: Money spent on training beside the device (labels asked of the teacher), once.
    """

    task: str
    specialist: str
    kind: str
    coverage: float
    audit_share: float = 0.05
    base: ModelShape | None = None
    rank: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds_per_call: float | None = None
    memory_bytes: int = 0
    training_seconds: float = 0.0
    training_usd: float = 0.0
    usd_per_call: float = 0.0

    @property
    def needs_device(self) -> bool:
        """Whether anything of it runs on a device of one's own; a provider's model does not."""
        return self.base is not None or bool(self.seconds_per_call) or self.memory_bytes > 0

    def __post_init__(self) -> None:
        for name in ("coverage", "audit_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise BadInput(f"Candidate {self.specialist!r} has {name} {value:g}; allowed is 0 to 1.")
        if self.base is None and self.seconds_per_call is None:
            raise BadInput(
                f"Candidate {self.specialist!r} has neither a base nor measured seconds per call.",
                hint="Give seconds_per_call, or the base's config.json.",
            )


def check(traffic: Traffic, candidates: tuple[Candidate, ...]) -> None:
    """Refuse candidates that do not belong to the traffic.

    Raises:
        BadInput: Two candidates for one task, or a candidate for a task without traffic.
    """
    tasks = {task.task for task in traffic.tasks}
    seen: set[str] = set()
    for candidate in candidates:
        if candidate.task not in tasks:
            raise BadInput(
                f"Candidate {candidate.specialist!r} is for task {candidate.task!r}, which has no traffic."
            )
        if candidate.task in seen:
            raise BadInput(f"Task {candidate.task!r} has two candidates; plan takes one.")
        seen.add(candidate.task)
