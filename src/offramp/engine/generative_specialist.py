"""The LoRA specialist: an adapter generates the answer, a classifier gives a second opinion on the tool."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offramp.core.model import EngineRequest
from offramp.core.render import constraint_of, parse_completion, payload_of, render_prompt
from offramp.engine.classifier import LinearClassifier
from offramp.engine.label_specialist import margins
from offramp.engine.specialist import Card, Considered, Neighbours, task_of, with_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from offramp.core.model import Completion
    from offramp.engine.embedder import Embedder
    from offramp.engine.port import Engine
    from offramp.engine.specialist import TaskRequest

OPINION = "opinion.npz"
ADAPTER = "adapter"


class GenerativeSpecialist:
    """Generates under the constraint of the request's own tools.

    Args:
        card: What it is.
        engine: Engine with the adapter loaded under the card's id.
        opinion: Classifier of tool names (or of whole answers) whose agreement is evidence.
        neighbours: The training payloads.
        embedder: The encoder that ``opinion`` was trained on.
    """

    def __init__(
        self,
        card: Card,
        engine: Engine,
        opinion: LinearClassifier,
        neighbours: Neighbours,
        embedder: Embedder,
    ) -> None:
        self._card = card
        self._engine = engine
        self._opinion = opinion
        self._neighbours = neighbours
        self._embedder = embedder

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Generate an answer to each item; see `Specialist.consider`."""
        if not items:
            return []
        cards = [task_of(self._card, item) for item in items]
        completions = self._engine.complete(
            [
                EngineRequest(
                    self._card.id,
                    render_prompt(card.hint, item.request),
                    constraint_of(item.request, card.output, card.facts),
                )
                for card, item in zip(cards, items, strict=True)
            ]
        )
        vectors = self._embedder.embed([payload_of(item.request) for item in items])
        tasks = tuple(self._card.tasks)
        opinions = self._opinion.probabilities(with_task(vectors, [item.task for item in items], tasks))
        similarity = self._neighbours.similarity(vectors)
        considered = []
        for item, card, completion, opinion, near in zip(
            items, cards, completions, opinions, similarity, strict=True
        ):
            answer = parse_completion(card.output, completion.text) if completion.finished else None
            features = (*self._features(completion, opinion), float(near), *_hot(item.task, tasks))
            considered.append(Considered(answer, features, float(near)))
        return considered

    def _features(self, completion: Completion, opinion: NDArray[np.float64]) -> tuple[float, ...]:
        name = completion.text.partition(" ")[0]
        classes = self._opinion.classes
        seconded = float(opinion[classes.index(name)]) if name in classes else 0.0
        return (
            *confidence_features(completion),
            math.log(seconded + 1e-6),
            *margins(opinion),
            float(classes[int(opinion.argmax())] == name),
        )

    def save(self, folder: Path) -> None:
        """Write all but the adapter, which training left in ``folder / "adapter"``."""
        self._opinion.save(folder / OPINION)
        self._neighbours.save(folder)
        # Last, because a folder with a card counts as whole.
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path, engine: Engine, embedder: Embedder) -> GenerativeSpecialist:
        """Read a folder and load its adapter into the engine under the card's id."""
        card = Card.load(folder)
        engine.load(card.id, folder / ADAPTER)
        return cls(card, engine, LinearClassifier.load(folder / OPINION), Neighbours.load(folder), embedder)


def confidence_features(completion: Completion) -> tuple[float, ...]:
    """Summarise a completion's log-probabilities.

    Returns:
        Log-probability of the tool's name; of the rest; of the least probable token; number of tokens
        that were chosen rather than forced; number of arguments.
    """
    name = rest = least = 0.0
    text = ""
    for piece, logprob in zip(completion.pieces, completion.logprobs, strict=True):
        if "{" in text or " " in text.strip():
            rest += logprob
        else:
            name += logprob
        least = min(least, logprob)
        text += piece
    chosen = sum(1 for logprob in completion.logprobs if logprob < 0)
    return name, rest, least, float(chosen), float(completion.text.count('":'))


def _hot(task: str, tasks: Sequence[str]) -> tuple[float, ...]:
    return tuple(float(task == other) for other in tasks) if len(tasks) > 1 else ()
