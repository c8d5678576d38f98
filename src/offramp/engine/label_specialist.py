"""The classifier specialist: a call's whole answer is a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offramp.core.render import parse_completion, payload_of
from offramp.engine.classifier import LinearClassifier
from offramp.engine.specialist import Card, Considered, Neighbours, task_of, with_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.engine.embedder import Embedder
    from offramp.engine.specialist import TaskRequest

FILE = "classifier.npz"
OTHER = ""
"""The class of answers too rare to learn; it defers."""


class LabelSpecialist:
    """Answers with the most probable of the answers seen in training.

    Args:
        card: What it is.
        classifier: Classes are completions, or `OTHER`.
        neighbours: The training payloads.
        embedder: The encoder that the classifier was trained on.
    """

    def __init__(
        self, card: Card, classifier: LinearClassifier, neighbours: Neighbours, embedder: Embedder
    ) -> None:
        self._card = card
        self._classifier = classifier
        self._neighbours = neighbours
        self._embedder = embedder

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Classify each item's payload; see `Specialist.consider`."""
        if not items:
            return []
        tasks = [task_of(self._card, item) for item in items]
        vectors = self._embedder.embed([payload_of(item.request) for item in items])
        inputs = with_task(vectors, [item.task for item in items], tuple(self._card.tasks))
        probabilities = self._classifier.probabilities(inputs)
        similarity = self._neighbours.similarity(vectors)
        considered = []
        for task, row, near in zip(tasks, probabilities, similarity, strict=True):
            best = int(row.argmax())
            text = self._classifier.classes[best]
            answer = None if text == OTHER else parse_completion(task.output, text)
            considered.append(Considered(answer, (*margins(row), float(near)), float(near)))
        return considered

    def save(self, folder: Path) -> None:
        """Write everything but the encoder into a folder."""
        self._classifier.save(folder / FILE)
        self._neighbours.save(folder)
        # Last, because a folder with a card counts as whole.
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path, embedder: Embedder) -> LabelSpecialist:
        """Read what `save` wrote."""
        classifier = LinearClassifier.load(folder / FILE)
        return cls(Card.load(folder), classifier, Neighbours.load(folder), embedder)


def margins(probabilities: NDArray[np.float64]) -> tuple[float, float]:
    """Return the log-probability of the best class and its lead over the second, in nats.

    Args:
        probabilities: Shape (classes,).
    """
    logs = np.log(np.sort(probabilities)[::-1] + 1e-12)
    return float(logs[0]), float(logs[0] - logs[1]) if len(logs) > 1 else 0.0
