"""The facts of a report. Every part may be missing: a scan has no unseen traffic, a first run no costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.report.codec import decode, encode
from offramp.report.interval import clopper_pearson

# decode() reads the annotations at run time.
from offramp.report.results import (
    Discovery,
    GroupResult,
    Interval,
    Learning,
    Scan,
    Sessions,
    TaskResult,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What a device earns at one utilisation (the plan's row).

    Attributes:
        utilisation: Share of its time in use.
        calls_per_month: Calls that keep it so.
        margin_per_call: USD saved by one of them.
        saving_per_month: USD saved by all of them.
        calls_to_repay_training: Calls until training is repaid; None: never.
    """

    utilisation: float
    calls_per_month: int
    margin_per_call: float
    saving_per_month: float = 0.0
    calls_to_repay_training: int | None = None


@dataclass(frozen=True, slots=True)
class Costs:
    """Money for ``days`` days, in USD: the ``costs`` of a plan.

    Attributes:
        llm_only: Everything on the LLM.
        with_offramp: ``kept + deferred + audits + billed + device``.
        kept: Tasks that stay with the LLM.
        deferred: Calls handed back to it.
        audits: Answered calls that it is asked as well.
        billed: What providers bill for cheaper models.
        device: Devices, idle time included.
        training_once: Spent once.
        saving: ``llm_only - with_offramp``.
        calls: Calls in that time.
        days: Length of the time.
        payback_days: Days until training is repaid; None: never.
        utilisation: Share of the devices' time in use.
        dedicated_calls: Calls from which one always-on device pays; None: never.
        break_even: One row per utilisation.
        worth_it: The verdict.
        sentence: The verdict in words.
        prices: The prices used, in words.
    """

    llm_only: float
    with_offramp: float
    kept: float = 0.0
    deferred: float = 0.0
    audits: float = 0.0
    billed: float = 0.0
    device: float = 0.0
    training_once: float = 0.0
    saving: float = 0.0
    calls: int = 0
    days: int = 30
    payback_days: float | None = None
    utilisation: float | None = None
    dedicated_calls: int | None = None
    break_even: tuple[BreakEven, ...] = ()
    worth_it: bool = False
    sentence: str = ""
    prices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Calls whose confidence fell into one bin.

    Attributes:
        confidence: Their mean confidence.
        agreement: Share of them that agrees with the teacher.
        n: How many.
    """

    confidence: float
    agreement: float
    n: int


@dataclass(frozen=True, slots=True)
class Point:
    """A certified bound beside what happened.

    Attributes:
        label: Task or group.
        certified: Certified bound; None for a member of a group.
        realised: Risk on unseen calls; None without any.
        low: Lower end of its interval.
        high: Upper end.
        alpha: The promise.
        member: Whether it is a member of the group above it.
    """

    label: str
    certified: float | None = None
    realised: float | None = None
    low: float | None = None
    high: float | None = None
    alpha: float | None = None
    member: bool = False


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One threshold of a risk-coverage curve.

    Attributes:
        coverage: Share answered.
        risk: Share of those that disagree.
        upper: Upper bound on that; None where it was not computed.
        threshold: The threshold.
    """

    coverage: float
    risk: float
    upper: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """Risk against coverage over all thresholds.

    Attributes:
        label: Task or group.
        points: From strict to loose.
        alpha: The promise.
        threshold: The one that was chosen.
    """

    label: str
    points: tuple[CurvePoint, ...]
    alpha: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything a report says.

    Attributes:
        calls_total: Calls read, training included.
        calls_unseen: Calls kept for the test; None where there were none.
        answered_unseen: Of those, answered by specialists; from the tasks or the coverage where missing.
        coverage: answered / unseen.
        disagreements: Answered unseen calls that disagree with the teacher.
        risk: disagreements / answered.
        risk_interval: Two-sided 95 % interval of that; from the counts where it is missing.
        risk_upper_95: One-sided 95 % upper bound.
        alpha: The promise: largest share of answered calls that may disagree.
        delta: Probability that the promise is wrong.
        tasks: All tasks, converted or not.
        groups: Certificates over several tasks.
        discovery: How well the tasks were found.
        sessions: The session-level figure.
        seconds: Seconds by stage, in order.
        peak_rss_mb: Largest resident memory in MB.
        plan: The plan as JSON.
        costs: Its costs; taken from the plan where they are missing.
        reliability: Bins of the reliability diagram.
        points: Certified bounds beside realised risks; from tasks and groups where they are missing.
        curves: Risk-coverage curves.
        learning: What specialists were learned from, and where they differ from the LLM.
        environment: Versions, seed, machine.
        notes: Anything a reader must know.
        title: What was looked at.
        created: When (ISO 8601).
        scan: What was scanned, where this is a scan.
    """

    calls_total: int = 0
    calls_unseen: int | None = None
    answered_unseen: int | None = None
    coverage: float | None = None
    disagreements: int | None = None
    risk: float | None = None
    risk_interval: Interval | None = None
    risk_upper_95: float | None = None
    alpha: float | None = None
    delta: float | None = None
    tasks: tuple[TaskResult, ...] = ()
    groups: tuple[GroupResult, ...] = ()
    discovery: Discovery | None = None
    sessions: Sessions | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_mb: float | None = None
    plan: dict[str, Any] | None = None
    costs: Costs | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    points: tuple[Point, ...] = ()
    curves: tuple[RiskCurve, ...] = ()
    learning: tuple[Learning, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    title: str = ""
    created: str = ""
    scan: Scan | None = None

    def to_dict(self) -> JsonObject:
        """As JSON."""
        encoded: JsonObject = encode(self)
        return encoded

    @classmethod
    def from_dict(cls, raw: JsonObject) -> Summary:
        """Read what ``to_dict`` wrote.

        Raises:
            BadInput: A value has the wrong type.
        """
        return decode(cls, raw)

    @property
    def answered(self) -> int | None:
        """Unseen calls that specialists answered: as given, from the tasks, or from the coverage."""
        if self.answered_unseen is not None:
            return self.answered_unseen
        known = [task.answered_unseen for task in self.tasks if task.answered_unseen is not None]
        if known:
            return sum(known)
        if self.coverage is None or self.calls_unseen is None:
            return None
        return round(self.coverage * self.calls_unseen)

    @property
    def interval(self) -> Interval | None:
        """The risk's 95 % interval: as given, or from the counts."""
        if self.risk_interval is not None or self.disagreements is None or not self.answered:
            return self.risk_interval
        return Interval(*clopper_pearson(self.disagreements, self.answered))

    @property
    def money(self) -> Costs | None:
        """The costs: as given, or the plan's."""
        if self.costs is None and self.plan and isinstance(self.plan.get("costs"), dict):
            return decode(Costs, self.plan["costs"], where="plan.costs")
        return self.costs

    @property
    def live(self) -> tuple[TaskResult, ...]:
        """Tasks that specialists take calls of, the largest first."""
        return _largest_first(task for task in self.tasks if task.live)

    @property
    def kept(self) -> tuple[TaskResult, ...]:
        """Tasks that stay with the LLM, the largest first."""
        return _largest_first(task for task in self.tasks if not task.live)


def _largest_first(tasks: Iterable[TaskResult]) -> tuple[TaskResult, ...]:
    return tuple(sorted(tasks, key=lambda task: (-(task.share_calls or 0), -task.calls, task.name)))
