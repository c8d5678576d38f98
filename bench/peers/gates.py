"""Who answers which test call: offramp's certificate, and the gates of its peers on the same students."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.certificate import certify_group, certify_task
from offramp.certify.terms import Terms
from offramp.certify.units import ScoredCalls
from offramp.loop.score import fit_confidence, held_out_confidence
from offramp.select import Trial, choose, expected_coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.splits import Split
    from bench.peers.students import Student
    from bench.peers.traffic import Traffic
    from numpy.typing import NDArray

    from offramp.core.call import Answer
    from offramp.core.certificate import Certificate
    from offramp.core.dataset import Item
    from offramp.loop.score import Scores

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Decided:
    """What a system did with the test calls.

    Attributes:
        answered: Whether it answered, shape (tests,).
        wrong: Whether it answered and disagrees with the teacher, shape (tests,).
        by: The student that answered, "" where a peer's own did or none.
        note: How it decided, or why it answers nothing.
    """

    answered: Bools
    wrong: Bools
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """offramp's certificate at one alpha, with what it takes to look further into it.

    Attributes:
        student: The chosen student.
        validation: Held-out confidences of the validation calls.
        calibration: Confidences of the calibration calls.
        test: Confidences of the test calls.
        certificate: The certificate, or the refusal.
    """

    student: Student
    validation: ScoredCalls
    calibration: ScoredCalls
    test: ScoredCalls
    certificate: Certificate

    def decided(self, drawn: Split, traffic: Traffic, certificate: Certificate | None = None) -> Decided:
        """Apply a certificate (its own where none is given) to the test calls that it covers."""
        asked = certificate or self.certificate
        thresholds = {task: asked.threshold_of(task) for task in {*self.test.task}}
        answered = self.test.confidence >= np.array([thresholds[task] for task in self.test.task])
        decided = Decided(answered, answered & self.test.loss, self.student.kind, asked.reason)
        return _spread(decided, drawn, traffic)


def prove(students: Sequence[Student], drawn: Split, traffic: Traffic, alpha: float) -> Proof | str:
    """Choose on validation, certify on calibration: what a night does, at one alpha.

    Returns:
        The proof, or why the LLM stays before calibration calls are looked at.
    """
    assert traffic.unit is not None, "only convertible traffic has students"
    sessions = [row.call.session for row in drawn.dataset.parts["validation"]]
    held_out = {one.kind: held_out_confidence(one.scores["validation"], sessions) for one in students}
    trials = [_trial(one, held_out[one.kind], alpha) for one in students]
    chosen = choose(trials)
    student = next((one for one in students if one.kind == chosen.kind), None)
    if student is None:
        return "keep the LLM: on validation no student is worth it"
    confidence = fit_confidence(student.scores["validation"])
    validation, calibration, test = (
        _scored(drawn.dataset.parts[part], given, student.scores[part])
        for part, given in (
            ("validation", held_out[student.kind]),
            ("calibration", confidence.of(student.scores["calibration"])),
            ("test", confidence.of(student.scores["test"])),
        )
    )
    versions = {task.id: task.version for task in traffic.unit.tasks}
    terms = Terms(alpha=alpha, delta=DELTA, seed=drawn.number)
    if traffic.unit.is_group:
        certificate = certify_group(versions, student.kind, validation, calibration, terms)
    else:
        certificate = certify_task(next(iter(versions.items())), student.kind, validation, calibration, terms)
    return Proof(student, validation, calibration, test, certificate)


def prove_each(proof: Proof, traffic: Traffic, alpha: float) -> dict[str, Certificate]:
    """Ask for a certificate of every task alone, from the same student: delta is shared among them."""
    assert traffic.unit is not None, "only convertible traffic has students"
    tasks = traffic.unit.tasks
    terms = Terms(alpha=alpha, delta=DELTA / len(tasks))
    return {
        task.id: certify_task(
            (task.id, task.version),
            proof.student.kind,
            proof.validation.of_task(task.id),
            proof.calibration.of_task(task.id),
            terms,
        )
        for task in tasks
    }


def tuned(students: Sequence[Student], drawn: Split, traffic: Traffic, alpha: float) -> Decided:
    """Tune a threshold on validation, without a bound: the student that then covers most of it answers.

    Students and confidence are offramp's own, so that only the gate differs.
    """
    best: tuple[float, Student, Floats, float] | None = None
    for student in students:
        scores = student.scores["validation"]
        confidence = fit_confidence(scores).of(scores)
        threshold = loosest(confidence, scores.loss == 1.0, alpha)
        covered = float(np.mean(confidence >= threshold))
        if covered > 0.0 and (best is None or covered > best[0]):
            best = (covered, student, fit_confidence(scores).of(student.scores["test"]), threshold)
    if best is None:
        return nothing(drawn, "no threshold reaches the agreement on validation")
    covered, student, confidence, threshold = best
    answered = confidence >= threshold
    wrong = answered & (student.scores["test"].loss == 1.0)
    note = f"{student.kind}: {covered:.0%} of validation above the threshold"
    return _spread(Decided(answered, wrong, student.kind, note), drawn, traffic)


def loosest(scores: Floats, wrong: Bools, alpha: float) -> float:
    """Return the lowest threshold whose observed risk is at most alpha, infinity where there is none.

    Args:
        scores: Shape (calls,); 0 or less is never a threshold.
        wrong: Shape (calls,).
        alpha: The observed risk allowed.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    risk = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    # A threshold cannot part calls of equal score.
    last = np.append(np.diff(ordered) != 0.0, [True])[: len(order)]
    good = np.flatnonzero((risk <= alpha) & last & (ordered > 0.0))
    return float(ordered[good[-1]]) if len(good) else np.inf


def everything(student: Student, drawn: Split, traffic: Traffic) -> Decided:
    """Answer wherever the student has an answer: the exact cache."""
    scores = student.scores["test"]
    decided = Decided(scores.answered, scores.answered & (scores.loss == 1.0), student.kind)
    return _spread(decided, drawn, traffic)


def judged(traffic: Traffic, rows: Sequence[Item], answers: Sequence[Answer | None], note: str) -> Decided:
    """Compare the answers that a peer gave with the teacher's."""
    answered = np.array([answer is not None for answer in answers], np.bool_)
    right = [traffic.agrees(row, answer) for row, answer in zip(rows, answers, strict=True)]
    return Decided(answered, answered & ~np.array(right, np.bool_), "", note)


def nothing(drawn: Split, note: str) -> Decided:
    """Leave every call with the LLM."""
    none = np.zeros(len(drawn.parts["test"]), np.bool_)
    return Decided(none, none, "", note)


def joined(parts: Sequence[Decided], note: str) -> Decided:
    """Join systems of which each answers calls of its own."""
    answered, wrong = (
        np.any([getattr(one, name) for one in parts], axis=0) for name in ("answered", "wrong")
    )
    return Decided(answered, wrong, parts[0].by, note)


def _trial(student: Student, confidence: Floats, alpha: float) -> Trial:
    loss = student.scores["validation"].loss
    times = len(student.scores["calibration"].loss) / len(loss)
    return Trial(
        kind=student.kind,
        calls=len(loss),
        agreement=1.0 - float(loss.mean()),
        coverage=expected_coverage(confidence, loss, alpha, DELTA, times=times),
        seconds=student.train_s,
    )


def _scored(rows: Sequence[Item], confidence: Floats, scores: Scores) -> ScoredCalls:
    return ScoredCalls(
        task=[row.task for row in rows],
        session=[row.call.session for row in rows],
        call=[row.call.id for row in rows],
        confidence=np.clip(confidence, 0.0, 1.0),
        loss=scores.loss == 1.0,
    )


def _spread(decided: Decided, drawn: Split, traffic: Traffic) -> Decided:
    """Count test calls that offramp does not learn from as deferred."""
    kept = np.array([row.call.id in traffic.kept for row in drawn.parts["test"]], np.bool_)
    if kept.all():
        return decided
    answered, wrong = np.zeros(len(kept), np.bool_), np.zeros(len(kept), np.bool_)
    answered[kept], wrong[kept] = decided.answered, decided.wrong
    return replace(decided, answered=answered, wrong=wrong)
