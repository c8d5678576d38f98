"""Results of tasks, groups and sessions, as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass, field

from offramp.report.interval import clopper_pearson


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided 95 % interval.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task. Shares and risks are 0 to 1; None means not measured.

    Attributes:
        id: Task id.
        name: Readable name, made from prompts: anything may be in it.
        calls: Calls seen, training included.
        decision: ``"specialist"`` or ``"keep_llm"``.
        candidate: Kind of the chosen (or best refused) candidate.
        coverage: Share of its calls that the specialist answers; on unseen calls where there are any.
        risk: Share of its answered unseen calls that disagree.
        risk_upper_95: One-sided 95 % upper bound on that risk.
        threshold: Certified confidence threshold.
        n_calibration: Calibration calls.
        reason: Why it was taken, or why not, in a sentence.
        output: Form of its answers.
        share_calls: Share of all calls.
        share_tokens: Share of all tokens.
        unseen_calls: Unseen calls of this task.
        answered_unseen: Of those, answered by the specialist.
        disagreements_unseen: Of those, in disagreement with the teacher.
        risk_unseen: Interval of the risk on unseen calls; worked out from the counts where it is missing.
        scope: ``"task"`` or ``"group"``: what its certificate covers; "" without one.
        group: Id of the group, where it is in one.
        alpha: The promise: largest share of answered calls that may disagree.
        risk_upper: Certified bound; a member's own bound where the certificate is the group's.
        calls_needed: Further calibration calls that could certify it; None where more calls would not help.
        choice: Why that kind of candidate was taken, in words.
        candidates: Candidates tried, with their agreement on validation calls.
        convertible: Whether its answers are of a form that can be certified, and there are enough of them.
        sessions: Distinct sessions among its calls.
        share_cost: Share of what all calls cost; None where no price is known.
        untried: Kinds of candidates that were not tried, with the reason.
        exemplars: A few of its requests, masked.
        subtasks: What it consists of, with shares, the largest first.
        unit: What its certificate counts.
        measure: What its certificate calls agreement.
        self_agreement: How often the teacher gives the same answer to the same request; None: no repeats.
    """

    id: str
    name: str
    calls: int = 0
    decision: str = "keep_llm"
    candidate: str = ""
    coverage: float | None = None
    risk: float | None = None
    risk_upper_95: float | None = None
    threshold: float | None = None
    n_calibration: int = 0
    reason: str = ""
    output: str = ""
    share_calls: float | None = None
    share_tokens: float | None = None
    unseen_calls: int | None = None
    answered_unseen: int | None = None
    disagreements_unseen: int | None = None
    risk_unseen: Interval | None = None
    scope: str = ""
    group: str = ""
    alpha: float | None = None
    risk_upper: float | None = None
    calls_needed: int | None = None
    choice: str = ""
    candidates: dict[str, float] = field(default_factory=dict)
    convertible: bool = False
    sessions: int | None = None
    share_cost: float | None = None
    untried: dict[str, str] = field(default_factory=dict)
    exemplars: tuple[str, ...] = ()
    self_agreement: float | None = None
    subtasks: tuple[str, ...] = ()
    unit: str = ""
    measure: str = ""

    @property
    def live(self) -> bool:
        """Whether a specialist takes its calls."""
        return self.decision == "specialist"

    @property
    def realised(self) -> Interval | None:
        """The risk's interval on unseen calls, as given or from the counts."""
        return self.risk_unseen or _interval(self.disagreements_unseen, self.answered_unseen)

    @property
    def realised_risk(self) -> float | None:
        """The risk on unseen calls, as given or from the counts."""
        return _ratio(self.disagreements_unseen, self.answered_unseen) if self.risk is None else self.risk


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One certificate over several tasks of one specialist.

    Attributes:
        id: Id of the group.
        members: Ids of its tasks.
        alpha: The promise.
        delta: Probability that the certificate is wrong.
        threshold: Certified threshold; None: nothing certifies.
        n: Calibration calls.
        answered: Of those, at or above the threshold.
        errors: Of those, disagreements.
        coverage: answered / n.
        risk: errors / answered.
        risk_upper: Certified bound.
        answered_unseen: Unseen calls answered.
        disagreements_unseen: Of those, disagreements.
        risk_unseen: Interval on unseen calls; worked out from the counts where it is missing.
    """

    id: str
    members: tuple[str, ...] = ()
    alpha: float | None = None
    delta: float | None = None
    threshold: float | None = None
    n: int = 0
    answered: int = 0
    errors: int = 0
    coverage: float | None = None
    risk: float | None = None
    risk_upper: float | None = None
    answered_unseen: int | None = None
    disagreements_unseen: int | None = None
    risk_unseen: Interval | None = None

    @property
    def realised(self) -> Interval | None:
        """The risk's interval on unseen calls, as given or from the counts."""
        return self.risk_unseen or _interval(self.disagreements_unseen, self.answered_unseen)


@dataclass(frozen=True, slots=True)
class Discovery:
    """How well tasks were found without tags.

    Attributes:
        ari: Adjusted Rand index against the true call sites; None where they are unknown.
        tasks: Tasks found.
        call_sites: True call sites; None where they are unknown.
    """

    ari: float | None = None
    tasks: int = 0
    call_sites: int | None = None


@dataclass(frozen=True, slots=True)
class Sessions:
    """The session-level figure: a bound per call is none per session.

    Attributes:
        sessions: Unseen sessions.
        touched: Of those, with at least one call answered by a specialist.
        disturbed: Of those, with at least one disagreement.
        calls_per_session: Mean calls of a session.
        disturbed_interval: Interval of ``disturbed / touched``; from the counts where it is missing.
    """

    sessions: int
    touched: int
    disturbed: int
    calls_per_session: float | None = None
    disturbed_interval: Interval | None = None

    @property
    def interval(self) -> Interval | None:
        """Interval of the share of touched sessions with a disagreement."""
        return self.disturbed_interval or _interval(self.disturbed, self.touched)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan looked at, and how.

    Attributes:
        calls: Calls read.
        sessions: Distinct sessions among them.
        days: Days of traffic that they are taken for.
        times: Where that comes from: ``"log"``, ``"given"``, or ``"assumed"`` where the log tells no times.
        quick: Whether only the tasks were found.
        minutes: The time that trying was given; 0 for a quick scan.
        skipped: Broken lines left out.
        skipped_at: Where the first few of them stand.
        left_out: What was not tried or not used, and why.
        unpriced: Models without a known price; their calls count as free.
        command: The command that goes on from here.
    """

    calls: int
    sessions: int
    days: float
    times: str = "log"
    quick: bool = False
    minutes: float = 0.0
    skipped: int = 0
    skipped_at: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    command: str = ""


def _ratio(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def _interval(errors: int | None, n: int | None) -> Interval | None:
    if errors is None or not n:
        return None
    return Interval(*clopper_pearson(errors, n))


@dataclass(frozen=True, slots=True)
class Learning:
    """What a specialist was learned from, and where its answers are not the LLM's.

    Attributes:
        label: Task or group.
        parts: Calls by part (train, validation, calibration).
        left_out: Calls that were not used, by reason.
        differing: Of the calibration calls, answered or deferred, how many differ where ("/city value"), the
            most frequent places first.
    """

    label: str
    parts: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
