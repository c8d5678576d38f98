"""How a specialist did on calls whose answers are known, and the confidence fitted on that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.agreement import Pair, agreeing, differences
from offramp.certify.calibrator import LogisticCalibrator
from offramp.core.call import OutputType
from offramp.core.measure import Measure
from offramp.engine.specialist import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from offramp.certify.agreement import Judge
    from offramp.core.call import Answer
    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject
    from offramp.engine.specialist import Considered, Specialist, TaskCard

BATCH = 256
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Scores:
    """One specialist on some calls.

    Attributes:
        features: Shape (calls, features).
        similarity: To the nearest training call, shape (calls,).
        answered: Whether it had any valid answer, shape (calls,).
        loss: 1.0 where its answer disagrees with the teacher's or is missing, shape (calls,).
        differing: Of each call, where its answer is not the teacher's ("/city value"); none where they
            agree, or where there is no answer.
    """

    features: NDArray[np.float64]
    similarity: NDArray[np.float64]
    answered: NDArray[np.bool_]
    loss: NDArray[np.float64]
    differing: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.loss)


def score(
    specialist: Specialist,
    rows: Sequence[Item],
    progress: Callable[[int], None] = lambda _: None,
    *,
    judge: Judge | None = None,
) -> Scores:
    """Ask a specialist about calls and compare with the teacher's answers.

    Args:
        specialist: Who is asked.
        rows: The calls.
        progress: Told how many were asked about.
        judge: Who compares where the measure of the tasks is a judge.

    Raises:
        BadInput: The measure is a judge, and there is none.
        OfframpError: The judge could not be asked.
    """
    considered: list[Considered] = []
    for start in range(0, len(rows), BATCH):
        items = [TaskRequest(row.task, row.call.request) for row in rows[start : start + BATCH]]
        considered += specialist.consider(items)
        progress(len(considered))
    features, similarity, answered = columns(considered)
    differing = _compared(specialist.card.tasks, considered, rows, judge)
    loss = [
        float(seen.answer is None or bool(where)) for seen, where in zip(considered, differing, strict=True)
    ]
    return Scores(features, similarity, answered, np.array(loss, np.float64), differing)


def _compared(
    cards: Mapping[str, TaskCard],
    considered: Sequence[Considered],
    rows: Sequence[Item],
    judge: Judge | None,
) -> tuple[tuple[str, ...], ...]:
    """Tell of each call where the answer is not the teacher's; nowhere where there is none."""
    given = [(number, seen.answer) for number, seen in enumerate(considered) if seen.answer is not None]
    judged = [(n, ours) for n, ours in given if cards[rows[n].task].measure is Measure.JUDGE]
    pairs = [Pair(rows[number].call.request, ours, rows[number].answer) for number, ours in judged]
    same = agreeing(OutputType.TEXT, pairs, measure=Measure.JUDGE, judge=judge) if pairs else []
    by_judge = {number: () if one else ("value",) for (number, _), one in zip(judged, same, strict=True)}
    found: list[tuple[str, ...]] = [()] * len(rows)
    for number, ours in given:
        row = rows[number]
        where = by_judge.get(number)
        found[number] = _differing(cards[row.task], ours, row) if where is None else where
    return tuple(found)


def _differing(task: TaskCard, ours: Answer, row: Item) -> tuple[str, ...]:
    found = differences(task.output, ours, row.answer, row.call.request, measure=task.measure)
    return tuple(f"{one.path} {one.kind}".strip() for one in found)


def columns(
    considered: Sequence[Considered],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return features, similarity and whether there is an answer, one row per call."""
    features = np.array([seen.features for seen in considered], np.float64)
    similarity = np.array([seen.similarity for seen in considered], np.float64)
    answered = np.array([seen.answer is not None for seen in considered], np.bool_)
    width = len(considered[0].features) if considered else 0
    return features.reshape(len(considered), width), similarity, answered


@dataclass(frozen=True, slots=True)
class Confidence:
    """Fitted on validation calls: a calibrator, and the similarity below which calls are foreign.

    Attributes:
        calibrator: Features to probability of agreement.
        floor: Calls less similar to any training call are out of distribution.
    """

    calibrator: LogisticCalibrator
    floor: float

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return {"calibrator": self.calibrator.to_dict(), "floor": self.floor}

    @classmethod
    def from_dict(cls, value: JsonObject) -> Confidence:
        """Read what `to_dict` wrote."""
        return cls(LogisticCalibrator.from_dict(value["calibrator"]), float(value["floor"]))

    def of(self, scores: Scores) -> NDArray[np.float64]:
        """Return confidences, shape (calls,): 0 for calls without an answer or out of distribution."""
        if not len(scores):
            return np.zeros(0)
        confidence = self.calibrator.predict(scores.features)
        return np.where(scores.answered & (scores.similarity >= self.floor), confidence, 0.0)


def fit_confidence(scores: Scores) -> Confidence:
    """Fit on all of the validation calls given.

    Out of distribution is what lies farther from any training call than every validation call that was
    answered as the teacher did (than every one, where none was).
    """
    right = scores.loss == 0.0
    floor = float(scores.similarity[right if right.any() else slice(None)].min())
    return Confidence(LogisticCalibrator.fit(scores.features, scores.loss == 0.0), floor)


def held_out_confidence(scores: Scores, sessions: Sequence[str]) -> NDArray[np.float64]:
    """Return each validation call's confidence under a calibrator that was not fitted on its session.

    Choosing a candidate and laying the threshold grid on confidences of the fit itself would flatter
    whatever has most features.
    """
    names = {session: number % FOLDS for number, session in enumerate(sorted(set(sessions)))}
    folds = np.array([names[session] for session in sessions])
    confidence = np.zeros(len(scores))
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        if inside.any() and outside.any():
            confidence[inside] = fit_confidence(_rows(scores, outside)).of(_rows(scores, inside))
    return confidence


def _rows(scores: Scores, mask: NDArray[np.bool_]) -> Scores:
    return Scores(scores.features[mask], scores.similarity[mask], scores.answered[mask], scores.loss[mask])
