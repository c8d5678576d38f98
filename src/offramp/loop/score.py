"""How a specialist did on calls whose answers are known, and the confidence fitted on that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from offramp.certify.agreement import agree
from offramp.engine.specialist import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from offramp.core.json import JsonObject
    from offramp.engine.specialist import Considered, Specialist
    from offramp.loop.ladder import Labelled

BATCH = 256
FOLDS = 5
FAR_SHARE = 0.005
"""Share of validation calls that count as out of distribution: the farthest from any training call."""


class Calibrator(Protocol):
    """Turns features into a probability of agreement."""

    def probability(self, features: NDArray[np.float64], /) -> NDArray[np.float64]:
        """Return probabilities, shape (rows,), for features of shape (rows, features)."""
        ...

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """One specialist on some calls.

    Attributes:
        features: Shape (calls, features).
        similarity: To the nearest training call, shape (calls,).
        answered: Whether it had any valid answer, shape (calls,).
        loss: 1.0 where its answer disagrees with the teacher's or is missing, shape (calls,).
    """

    features: NDArray[np.float64]
    similarity: NDArray[np.float64]
    answered: NDArray[np.bool_]
    loss: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.loss)


def score(
    specialist: Specialist, rows: Sequence[Labelled], progress: Callable[[int], None] = lambda _: None
) -> Scores:
    """Ask a specialist about calls and compare with the teacher's answers."""
    considered: list[Considered] = []
    for start in range(0, len(rows), BATCH):
        items = [Item(row.task, row.call.request) for row in rows[start : start + BATCH]]
        considered += specialist.consider(items)
        progress(len(considered))
    cards = specialist.card.tasks
    loss = [
        0.0 if seen.answer is not None and agree(cards[row.task].output, seen.answer, row.answer) else 1.0
        for seen, row in zip(considered, rows, strict=True)
    ]
    return Scores(
        features=np.array([seen.features for seen in considered], np.float64).reshape(len(rows), -1),
        similarity=np.array([seen.similarity for seen in considered], np.float64),
        answered=np.array([seen.answer is not None for seen in considered], np.bool_),
        loss=np.array(loss, np.float64),
    )


@dataclass(frozen=True, slots=True)
class Confidence:
    """Fitted on validation calls: a calibrator, and the similarity below which calls are foreign.

    Attributes:
        calibrator: Features to probability of agreement.
        floor: Calls less similar to any training call are out of distribution.
    """

    calibrator: Calibrator
    floor: float

    def of(self, scores: Scores) -> NDArray[np.float64]:
        """Return confidences, shape (calls,): 0 for calls without an answer or out of distribution."""
        if not len(scores):
            return np.zeros(0)
        confidence = self.calibrator.probability(scores.features)
        return np.where(scores.answered & (scores.similarity >= self.floor), confidence, 0.0)


def fit_confidence(
    scores: Scores, fit: Callable[[NDArray[np.float64], NDArray[np.float64]], Calibrator]
) -> Confidence:
    """Fit on all validation calls.

    Args:
        scores: Of the validation calls.
        fit: Fits a calibrator to features, shape (calls, features), and losses, shape (calls,).
    """
    floor = float(np.quantile(scores.similarity, FAR_SHARE))
    return Confidence(fit(scores.features, scores.loss), floor)


def held_out_confidence(
    scores: Scores,
    sessions: Sequence[str],
    fit: Callable[[NDArray[np.float64], NDArray[np.float64]], Calibrator],
) -> NDArray[np.float64]:
    """Return each validation call's confidence under a calibrator that was not fitted on its session.

    Choosing a candidate and laying the threshold grid on confidences of the fit itself would flatter
    whatever has most features.
    """
    names = {session: number % FOLDS for number, session in enumerate(sorted(set(sessions)))}
    folds = np.array([names[session] for session in sessions])
    confidence = np.zeros(len(scores))
    for fold in range(FOLDS):
        inside, outside = folds == fold, folds != fold
        if not inside.any() or not outside.any():
            continue
        part = fit_confidence(_rows(scores, outside), fit)
        confidence[inside] = part.of(_rows(scores, inside))
    return confidence


def _rows(scores: Scores, mask: NDArray[np.bool_]) -> Scores:
    return Scores(scores.features[mask], scores.similarity[mask], scores.answered[mask], scores.loss[mask])
