"""A certificate: risk at most alpha with confidence 1 - delta, on stated calls of a stated version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Member:
    """One task of a group certificate, with its own figures beside the pooled ones.

    Attributes:
        task: Task id.
        n: Calibration calls of this task (one per session).
        answered: Of those, calls at or above the threshold.
        errors: Of those, calls that disagree with the teacher.
        risk: errors / answered (0 where nothing was answered).
        risk_upper: One-sided Clopper-Pearson upper bound on the member's risk at ``1 - delta``.
        deferred: Whether the member was taken out (on validation data) and always defers.
        calls_needed: Further calibration calls after which it could hold a certificate of its own at its
            present risk; None where its present risk is above alpha.
    """

    task: str
    n: int
    answered: int
    errors: int
    risk: float
    risk_upper: float
    deferred: bool
    calls_needed: int | None


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
        unit: What was drawn: ``"one call per session"``, or another of ``certify.units.Unit``.
        n: Calibration units.
        answered: Units at or above the threshold.
        errors: Of those, disagreements.
        coverage: answered / n.
        risk: errors / answered.
        risk_upper: One-sided Clopper-Pearson upper bound on the risk at ``1 - delta``.
        members: Each task's own figures.
        mix: Share of each task in the calibration calls; drift beyond ``mix_tolerance`` (total
            variation) voids a group certificate.
        mix_tolerance: That distance.
        calls_needed: Where nothing certifies, how many more calibration units could; None where
            the present risk is above alpha at every threshold.
        evidence: Hash of the calibration call ids, confidences and losses.
        reason: One sentence.
        risk_per_call: Share of *all* answered calibration calls that disagree, sessions of many calls
            counting more; a point estimate beside ``risk``, which counts one call a session.
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

    @property
    def holds(self) -> bool:
        """Whether a threshold was certified."""
        return self.threshold is not None

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
