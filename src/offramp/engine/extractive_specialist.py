"""The extractive specialist: an encoder names the tool and points at its arguments in the request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.render import parse_completion, payload_of
from offramp.engine.classifier import LinearClassifier
from offramp.engine.extractive_experience import Experience
from offramp.engine.extractive_student import Student
from offramp.engine.label_specialist import margins
from offramp.engine.specialist import Card, Considered, Neighbours, task_of, with_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.engine.embedder import Embedder
    from offramp.engine.extractive_student import Reply, Thought
    from offramp.engine.specialist import TaskRequest

OPINION = "opinion.npz"
STUDENT = "student"
EXPERIENCE = "experience.npz"
FEATURES = (
    "name",
    "arguments",
    "least",
    "fixed",
    "whole",
    "p_name",
    "p_arguments",
    "p_least",
    "p_whole",
    "lead_of_name",
    "lead_of_answer",
    "seconded",
    "p_seconded",
    "opinion",
    "opinion_lead",
    "opinion_agrees",
    "neighbours_name",
    "neighbours_form",
    "neighbours_near",
    "count",
    "count_squared",
    "none",
    "long",
    "similarity",
)
"""What the calibrator sees, in order."""


class ExtractiveSpecialist:
    """Answers with what the student finds most probable.

    Args:
        card: What it is.
        student: The trained network.
        experience: The training calls as the student sees them.
        opinion: Classifier of labels on embeddings that were not fine-tuned; its agreement is evidence.
        neighbours: The training payloads.
        embedder: The encoder that ``opinion`` was trained on.
    """

    def __init__(
        self,
        card: Card,
        student: Student,
        experience: Experience,
        opinion: LinearClassifier,
        neighbours: Neighbours,
        embedder: Embedder,
    ) -> None:
        self._card = card
        self._student, self._experience = student, experience
        self._opinion, self._neighbours, self._embedder = opinion, neighbours, embedder

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Read each request, name the tool and copy its arguments; see `Specialist.consider`."""
        if not items:
            return []
        outputs = [task_of(self._card, item).output for item in items]
        thoughts = self._student.think(items, self._card)
        first = [thought.replies[0] if thought.replies else None for thought in thoughts]
        vectors = self._embedder.embed([payload_of(item.request) for item in items])
        tasks = tuple(self._card.tasks)
        opinions = self._opinion.probabilities(with_task(vectors, [item.task for item in items], tasks))
        asked = self._experience.ask(np.stack([thought.vector for thought in thoughts]), first)
        similarity = self._neighbours.similarity(vectors)
        considered = []
        for row, (output, reply) in enumerate(zip(outputs, first, strict=True)):
            near = float(similarity[row])
            if reply is None:
                considered.append(Considered(None, (0.0,) * len(FEATURES), near))
                continue
            features = (
                *_certainty(reply, thoughts[row]),
                *self._second(reply, opinions[row]),
                *(float(value) for value in asked[row]),
                *_shape(reply),
                near,
            )
            answer = parse_completion(output, reply.completion) if reply.completion is not None else None
            considered.append(Considered(answer, features, near))
        return considered

    def _second(self, reply: Reply, opinion: NDArray[np.float64]) -> tuple[float, ...]:
        """Compare with the classifier: its probability of our label, how sure it is, whether it agrees."""
        classes = self._opinion.classes
        name = self._student.schema.labels[reply.label]
        seconded = float(opinion[classes.index(name)]) if name in classes else 0.0
        agrees = float(classes[int(opinion.argmax())] == name)
        return math.log(seconded + 1e-6), seconded, *margins(opinion), agrees

    def save(self, folder: Path) -> None:
        """Write all but the student, which training left in ``folder / "student"``."""
        self._experience.save(folder / EXPERIENCE)
        self._opinion.save(folder / OPINION)
        self._neighbours.save(folder)
        # Last, because a folder with a card counts as whole.
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path, embedder: Embedder, encoder: Path) -> ExtractiveSpecialist:
        """Read a specialist's folder.

        Args:
            folder: What `save` wrote.
            embedder: The encoder for payloads.
            encoder: Directory of the encoder that the student was trained from.
        """
        return cls(
            Card.load(folder),
            Student.load(folder / STUDENT, encoder),
            Experience.load(folder / EXPERIENCE),
            LinearClassifier.load(folder / OPINION),
            Neighbours.load(folder),
            embedder,
        )


def _certainty(reply: Reply, thought: Thought) -> tuple[float, ...]:
    """Summarise how sure the student is: logarithms and probabilities, for a calibrator that is linear."""
    arguments, least = sum(reply.tagging.logprobs), min(reply.tagging.logprobs, default=0.0)
    logs = (reply.name, arguments, least, reply.fixed, reply.logprob)
    lead = thought.names[0] - thought.names[1] if len(thought.names) > 1 else 0.0
    others = [other.logprob for other in thought.replies[1:]]
    ahead = reply.logprob - max(others) if others else 0.0
    return (*logs, *(math.exp(value) for value in (reply.name, arguments, least, reply.logprob)), lead, ahead)


def _shape(reply: Reply) -> tuple[float, ...]:
    count = float(len(reply.keys))
    return count, count**2, float(count == 0), math.log(len(reply.tagging.tags))
