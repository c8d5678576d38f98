"""A deployment: a certified specialist behind the gateway."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the router has to know of one live specialist.

    Attributes:
        specialist: Its id.
        tasks: Ids of the tasks it answers (members that always defer are left out).
        threshold: It answers where confidence >= threshold.
        alpha: The certified bound on its risk.
        delta: Probability that the live alarm is false.
        scope: ``"task"`` or ``"group"``.
        mix: Certified share of each task, for a group.
        mix_tolerance: Largest total-variation distance from ``mix`` at which the certificate stands.
        floors: By task, a threshold of its own, for members that are held to a stricter one.
        output: Form of its answers; "" for one that an older offramp wrote.
        measure: In which sense it was certified, as its certificate words it; "" the form's own.
        judge_missed: Bound on the share of disagreements that the judge who decides misses; 0 without one.
    """

    specialist: str
    tasks: tuple[str, ...]
    threshold: float
    alpha: float
    delta: float
    scope: str = "task"
    mix: dict[str, float] = field(default_factory=dict)
    mix_tolerance: float = 1.0
    floors: dict[str, float] = field(default_factory=dict)
    output: str = ""
    measure: str = ""
    judge_missed: float = 0.0

    @property
    def seen_alpha(self) -> float:
        """The risk that audits may see: of a true one at alpha, a judge sees all but what it misses."""
        return self.alpha * (1.0 - self.judge_missed)

    def threshold_of(self, task: str) -> float:
        """Return the confidence from which on the specialist answers calls of a task."""
        return max(self.threshold, self.floors.get(task, self.threshold))

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: JsonObject) -> Deployment:
        """Read what `to_dict` wrote."""
        return cls(**{**value, "tasks": tuple(value["tasks"])})
