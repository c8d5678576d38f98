"""A certificate: risk at most alpha with confidence 1 - delta, on stated calls of a stated version."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Member:
    """One task of a group certificate, with its own figures beside the pooled ones.

    Attributes:
        task: Task id.
        n: Calibration units of this task, as a certificate of its own would count them.
        answered: Of those, units at or above the threshold and its floor.
        errors: Of those, units that disagree with the teacher.
        risk: errors / answered (0 where nothing was answered).
        risk_upper: One-sided upper bound on the member's risk at ``1 - delta``, of this member alone.
        deferred: Whether the member was taken out (on validation data) and always defers.
        calls_needed: Further calibration calls after which it could hold a certificate of its own at its
            present risk; None where its present risk is above alpha.
        floor: Confidence below which it never answers, whatever the group's threshold; chosen on validation
            data for members whose risk exceeded alpha. 0: none of its own.
    """

    task: str
    n: int
    answered: int
    errors: int
    risk: float
    risk_upper: float
    deferred: bool
    calls_needed: int | None
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """The product's promise for one specialist.

    Where nothing certifies, ``answered``, ``errors``, ``coverage``, ``risk``, ``risk_upper`` and the members'
    figures are those of the strictest threshold that was tried; nothing is promised or answered.

    Attributes:
        scope: ``"task"`` or ``"group"``.
        tasks: Ids of the tasks it covers.
        versions: Their versions; a change voids it.
        specialist: Id of the specialist.
        alpha: Largest share of answered calls that may disagree.
        delta: Probability of this certificate being wrong (its part of the total).
        threshold: The specialist answers where confidence >= threshold; None: nothing certifies.
        unit: What was counted: ``"one call per session"``, or another of ``certify.units.Unit``.
        n: Calibration units. Where whole sessions are bet on, calls; those of sessions longer than ``cap``
            weigh less, and counts are rounded.
        answered: Units at or above the threshold (and the floor of their task).
        errors: Of those, disagreements.
        coverage: answered / n.
        risk: errors / answered.
        risk_upper: One-sided upper bound on the risk at ``1 - delta``, of the test that the unit takes.
        members: Each task's own figures.
        mix: Share of each task in the calibration calls; drift beyond ``mix_tolerance`` (total
            variation) voids a group certificate.
        mix_tolerance: That distance.
        calls_needed: Where nothing certifies, how many more calibration units could; None where
            the present risk is above alpha where the tests start.
        evidence: Hash of the calibration call ids, confidences and losses.
        reason: One sentence.
        risk_per_call: Share of *all* answered calibration calls that disagree, however long their sessions;
            a point estimate beside ``risk``, which counts units.
        cap: What a session counts as at most: of a longer one each call weighs less.
        sessions: Calibration sessions, which are what is independent.
        measure: What agreement means, see ``core.measure.Measure``, or whose judgement it is.
        asked: The alpha that was asked for, where the teacher's self-agreement made it ``alpha``.
        self_agreement: How often the teacher agrees with itself, where that is known.
        judge_missed: Where a judge decided: bound on the share of disagreements that it misses, which is
            counted in; 0 without a judge.
        judge_labelled: Labelled disagreements that this bound rests on.
        judge_misses: Of those, how many the judge missed.
    """

    scope: str
    tasks: tuple[str, ...]
    versions: tuple[str, ...]
    specialist: str
    alpha: float
    delta: float
    threshold: float | None
    unit: str
    n: int
    answered: int
    errors: int
    coverage: float
    risk: float
    risk_upper: float
    members: tuple[Member, ...]
    mix: dict[str, float]
    mix_tolerance: float
    calls_needed: int | None
    evidence: str
    reason: str
    risk_per_call: float = 0.0
    cap: int = 1
    sessions: int = 0
    measure: str = ""
    asked: float | None = None
    self_agreement: float | None = None
    judge_missed: float = 0.0
    judge_labelled: int = 0
    judge_misses: int = 0

    @property
    def holds(self) -> bool:
        """Whether a threshold was certified."""
        return self.threshold is not None

    def threshold_of(self, task: str) -> float:
        """Return the confidence from which on calls of a task are answered; infinity where none is."""
        held = next((member for member in self.members if member.task == task and not member.deferred), None)
        return math.inf if held is None or self.threshold is None else max(self.threshold, held.floor)

    def to_dict(self) -> JsonObject:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what ``to_dict`` wrote."""
        return cls(
            **{
                **value,
                "tasks": tuple(value["tasks"]),
                "versions": tuple(value["versions"]),
                "members": tuple(Member(**member) for member in value["members"]),
            }
        )
