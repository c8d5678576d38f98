"""A night: from recorded calls to certified specialists, one unit (task or group) at a time."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from offramp.certify.bounds import interval
from offramp.certify.certificate import certify_group, certify_task
from offramp.certify.judge import judged
from offramp.certify.reliability import reliability
from offramp.certify.terms import Terms, spend
from offramp.certify.units import ScoredCalls
from offramp.core.errors import BadInput, OfframpError
from offramp.core.ladder import LADDER
from offramp.core.measure import Measure
from offramp.loop.candidates import candidate_of
from offramp.loop.ceiling import within_reach
from offramp.loop.ladder import make
from offramp.loop.race import is_slow, left_out
from offramp.loop.score import Confidence, Scores, fit_confidence, held_out_confidence, score
from offramp.loop.workshop import Brief
from offramp.select import Trial, choose, expected_coverage, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from offramp.certify.agreement import Judge
    from offramp.core.certificate import Certificate
    from offramp.core.dataset import Dataset, Item
    from offramp.core.json import JsonObject
    from offramp.engine.specialist import Specialist
    from offramp.loop.workshop import Workshop
    from offramp.select import Unit

    Say = Callable[[str], None]

_FIELDS: Final = 20
"""Places where answers differ that are kept, the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be promised.

    Attributes:
        alpha: Largest share of answered calls that may disagree with the teacher.
        delta: Probability that any certificate, ever, is wrong.
        round: Number of times calibration calls have been looked at, this one included.
        seed: Seed of the draw of calls from sessions.
        ceiling: Whether alpha may become what the teacher's agreement with itself leaves room for.
    """

    alpha: float
    delta: float
    round: int = 1
    seed: int = 0
    ceiling: bool = False


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came of one unit.

    Attributes:
        unit: The tasks.
        chosen: The candidate that validation chose; ``keep_llm`` where none is worth it.
        trials: Every candidate that was tried.
        specialist: Id of the specialist, "" where the LLM stays.
        confidence: Its fitted confidence, None where the LLM stays.
        certificate: The certificate, or the refusal with its reason; None where nothing was chosen.
        card: The dataset card.
        reliability: Confidence against agreement on calibration calls.
        curve: Risk against coverage on calibration calls.
        seconds: Seconds by step.
        seconds_per_call: Measured seconds of one answer, in batches, on the calibration calls.
        fields: Where answers to calibration calls differ from the teacher's, and in how many calls.
    """

    unit: Unit
    chosen: Trial
    trials: tuple[Trial, ...]
    specialist: str = ""
    confidence: Confidence | None = None
    certificate: Certificate | None = None
    card: JsonObject = field(default_factory=dict)
    reliability: tuple[JsonObject, ...] = ()
    curve: tuple[JsonObject, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    seconds_per_call: float = 0.0
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def certified(self) -> bool:
        """Whether a specialist may go live."""
        return self.certificate is not None and self.certificate.holds


@dataclass(frozen=True, slots=True)
class _Candidate:
    trial: Trial
    specialist: Specialist
    scores: Scores
    confidence: NDArray[np.float64]


def convert(
    datasets: Sequence[tuple[Unit, Dataset]],
    workshop: Workshop,
    goal: Goal,
    say: Say,
    *,
    looking: Callable[[], None],
) -> list[Conversion]:
    """Convert all units: candidates, choice, certificate.

    Delta is split over the units and over rounds, so that all certificates hold at once.

    Args:
        datasets: Each unit with its curated calls.
        workshop: What candidates are made with.
        goal: What to promise.
        say: Told what is going on, a line at a time.
        looking: Told each time calibration calls are about to be looked at, so that the round counts
            whatever happens next.
    """
    if not datasets:
        return []
    share = spend(goal.delta, len(datasets), goal.round)
    return [_convert(unit, dataset, workshop, (goal, share), (say, looking)) for unit, dataset in datasets]


def _convert(
    unit: Unit,
    dataset: Dataset,
    workshop: Workshop,
    promise: tuple[Goal, float],
    tell: tuple[Say, Callable[[], None]],
) -> Conversion:
    say, looking = tell
    terms = _terms(unit, dataset, workshop, promise, say)
    started = time.perf_counter()
    candidates, failed = _tried(unit, dataset, workshop, (terms.tested.alpha, terms.tested.delta), say)
    chosen = choose([candidate.trial for candidate in candidates])
    winner = next((candidate for candidate in candidates if candidate.trial is chosen), None)
    explained = explain([candidate.trial for candidate in candidates], chosen)
    trials = (*explained, *failed)
    seconds = {"train": time.perf_counter() - started}
    if winner is None:
        say(f"  {unit.name}: no candidate is worth it; keep the LLM")
        return Conversion(unit, chosen, trials, card=dataset.card, seconds=seconds)
    chosen = next(trial for trial in explained if trial.kind == chosen.kind)
    say(f"  {unit.name}: {chosen.kind} {chosen.verdict}")
    started = time.perf_counter()
    looking()
    try:
        proven = _proven(unit, dataset, winner, terms, workshop.judge)
    except OfframpError as error:
        if unit.measure is not Measure.JUDGE:
            raise
        # The look counts all the same. What other units came to must not be lost with it.
        say(f"  {unit.name}: keep the LLM: the judge did not decide: {error}")
        return Conversion(unit, chosen, trials, card=dataset.card, seconds=seconds)
    certificate = proven.certificate
    assert certificate is not None
    say(f"  {unit.name}: {certificate.reason}")
    seconds["certify"] = time.perf_counter() - started
    return Conversion(
        unit,
        chosen,
        trials,
        winner.specialist.card.id,
        proven.confidence,
        certificate,
        dataset.card,
        proven.reliability,
        proven.curve,
        seconds,
        seconds["certify"] / max(1, len(_part(dataset, "calibration", chosen.kind))),
        proven.fields,
    )


def _terms(unit: Unit, dataset: Dataset, workshop: Workshop, promise: tuple[Goal, float], say: Say) -> Terms:
    """Fix what is to be promised, before anything is trained or any calibration call is looked at."""
    goal, delta = promise
    measure = unit.measure
    terms = Terms(
        alpha=goal.alpha, delta=delta, seed=goal.seed, measure="" if measure is None else measure.wording
    )
    if measure is Measure.JUDGE:
        terms = _judged(unit, workshop, terms)
    if not goal.ceiling:
        return terms
    try:
        reached = within_reach(terms, unit.output, dataset, measure, workshop.judge)
    except OfframpError as error:
        say(f"  {unit.name}: alpha stays {terms.alpha:.1%}: {error}")
        return terms
    if reached.alpha > terms.alpha:
        say(
            f"  {unit.name}: the teacher agrees with itself on {reached.self_agreement:.1%} of repeated "
            f"requests: alpha is {reached.alpha:.1%}, not {terms.alpha:.1%}"
        )
    return reached


def _judged(unit: Unit, workshop: Workshop, terms: Terms) -> Terms:
    """Count in what the judge misses.

    Raises:
        BadInput: There is no judge, or nothing bounds what it misses.
    """
    if workshop.judging is None:
        raise BadInput(f"{unit.name} is to be judged, and no judge is set up.", hint="Set [judge] model.")
    return judged(terms, workshop.judging.error(unit.tasks[0].id))


def _tried(
    unit: Unit, dataset: Dataset, workshop: Workshop, bound: tuple[float, float], say: Say
) -> tuple[list[_Candidate], list[Trial]]:
    """Try the quick kinds, then of the slow ones those that a race on a part of the calls lets through."""
    brief = Brief(unit, dataset)
    kinds = sorted(workshop.kinds, key=LADDER.index)
    slow = [kind for kind in kinds if is_slow(kind)]
    tries = _Tries(brief, workshop, bound, say)
    for kind in kinds:
        if kind not in slow:
            tries.run(kind, workshop.denies(kind, brief, tries.measured))
    left = {kind: workshop.denies(kind, brief, tries.measured) for kind in slow}
    racing = [kind for kind in slow if not left[kind]]
    left |= left_out(racing, brief, workshop, tries.measured, bound[0], say)
    for kind in slow:
        tries.run(kind, left.get(kind, ""))
    return tries.candidates, tries.failed


class _Tries:
    """Candidates of one unit: those that were measured, and those that were not."""

    def __init__(self, brief: Brief, workshop: Workshop, bound: tuple[float, float], say: Say) -> None:
        self._brief, self._workshop, self._bound, self._say = brief, workshop, bound, say
        self.candidates: list[_Candidate] = []
        self.failed: list[Trial] = []

    @property
    def measured(self) -> list[Trial]:
        """The trials of the candidates."""
        return [candidate.trial for candidate in self.candidates]

    def run(self, kind: str, reason: str = "") -> None:
        """Try a kind, unless there is a reason not to."""
        started, name = time.perf_counter(), self._brief.unit.name
        rows = _part(self._brief.dataset, "validation", kind)
        candidate: _Candidate | None = None
        if not reason:
            try:
                candidate = _measured(kind, self._brief, rows, self._workshop, self._bound)
            except OfframpError as error:
                reason = str(error)
        if candidate is None:
            self.failed.append(Trial(kind, 0, 0.0, 0.0, time.perf_counter() - started, reason))
            self._say(f"  {name}: {kind} not tried: {reason}")
            return
        self.candidates.append(candidate)
        trial = candidate.trial
        self._say(
            f"  {name}: {kind} agrees on {trial.agreement:.1%} of {trial.calls} validation calls, "
            f"could answer {trial.coverage:.0%} ({trial.seconds:.0f} s)"
        )


def _measured(
    kind: str,
    brief: Brief,
    rows: Sequence[Item],
    workshop: Workshop,
    bound: tuple[float, float],
) -> _Candidate:
    if not rows:
        raise OfframpError("no validation call is left that does not repeat a training call")
    started = time.perf_counter()
    specialist = make(kind, brief, workshop)
    made = time.perf_counter()
    scores = score(specialist, rows, judge=workshop.judge)
    per_call = (time.perf_counter() - made) / len(rows)
    confidence = held_out_confidence(scores, [row.call.session for row in rows])
    times = len(_part(brief.dataset, "calibration", kind)) / len(rows)
    trial = Trial(
        kind=kind,
        calls=len(rows),
        agreement=1.0 - float(scores.loss.mean()) if len(scores) else 0.0,
        coverage=expected_coverage(confidence, scores.loss, *bound, times=times),
        seconds=time.perf_counter() - started,
        per_call=per_call,
        usd_per_1000=_usd_per_1000(kind, brief, workshop, per_call, len(rows)),
    )
    return _Candidate(trial, specialist, scores, confidence)


def _usd_per_1000(kind: str, brief: Brief, workshop: Workshop, per_call: float, calls: int) -> float:
    """What 1,000 calls cost where the workshop's specialists are to run, with the seconds measured here."""
    if workshop.site is None:
        return 0.0
    running = candidate_of(kind).running(workshop.site(brief.train))
    return 1000 * running.timed(per_call, calls).usd


def _part(dataset: Dataset, part: str, kind: str) -> Sequence[Item]:
    """The calls of a part; for a cache with their repeats, which are its very point."""
    items = dataset.parts[part]
    return (*items, *dataset.repeats[part]) if kind == "cache" else items


@dataclass(frozen=True, slots=True)
class _Proven:
    confidence: Confidence
    certificate: Certificate
    reliability: tuple[JsonObject, ...]
    curve: tuple[JsonObject, ...]
    fields: dict[str, int]


def _proven(unit: Unit, dataset: Dataset, winner: _Candidate, terms: Terms, judge: Judge | None) -> _Proven:
    """Issue the certificate: the only place where calibration calls are looked at."""
    validation, calibration = (_part(dataset, p, winner.trial.kind) for p in ("validation", "calibration"))
    confidence = fit_confidence(winner.scores)
    scores = score(winner.specialist, calibration, judge=judge)
    calibrated = confidence.of(scores)
    before = _scored(validation, winner.confidence, winner.scores)
    after = _scored(calibration, calibrated, scores)
    versions = {task.id: task.version for task in unit.tasks}
    name = winner.specialist.card.id
    if unit.is_group:
        certificate = certify_group(versions, name, before, after, terms)
    else:
        certificate = certify_task(next(iter(versions.items())), name, before, after, terms)
    bins = reliability(calibrated, scores.loss == 1.0).bins
    return _Proven(
        confidence,
        certificate,
        tuple(asdict(found) for found in bins),
        tuple(_curve(calibrated, scores.loss)),
        dict(Counter(where for call in scores.differing for where in call).most_common(_FIELDS)),
    )


def _scored(rows: Sequence[Item], confidence: NDArray[np.float64], scores: Scores) -> ScoredCalls:
    return ScoredCalls(
        task=[row.task for row in rows],
        session=[row.call.session for row in rows],
        call=[row.call.id for row in rows],
        confidence=np.clip(confidence, 0.0, 1.0),
        loss=scores.loss == 1.0,
    )


def _curve(confidence: NDArray[np.float64], loss: NDArray[np.float64], points: int = 40) -> list[JsonObject]:
    """Risk against coverage over all calls, as counts of calls; for the eye, not for a promise."""
    order = np.argsort(-confidence, kind="stable")
    errors = np.cumsum(loss[order])
    curve: list[JsonObject] = []
    for answered in sorted({max(20, round(len(order) * share)) for share in np.linspace(0.02, 1, points)}):
        if answered > len(order):
            break
        wrong = int(errors[answered - 1])
        curve.append(
            {
                "coverage": answered / len(order),
                "risk": wrong / answered,
                "upper": interval(answered, wrong, 0.1)[1],
                "threshold": float(confidence[order[answered - 1]]),
            }
        )
    return curve
