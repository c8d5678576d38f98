"""The LoRA specialist: an adapter generates the answer, a classifier gives a second opinion on the tool."""

from __future__ import annotations

import math
from dataclasses import replace
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
OVERRULE = 0.5
"""Probability from which the classifier's tool replaces the generated one."""

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
        """Generate an answer to each item; see `Specialist.consider`.

        Where the classifier is sure of another tool than the one generated, the answer is generated again
        for that tool: on few examples it names tools better than a small base does, and the base copies
        arguments better than anything else here.
        """
        if not items:
            return []
        vectors = self._embedder.embed([payload_of(item.request) for item in items])
        tasks = tuple(self._card.tasks)
        opinions = self._opinion.probabilities(with_task(vectors, [item.task for item in items], tasks))
        asked = [self._question(item) for item in items]
        first = self._engine.complete(asked)
        final = self._overruled(asked, first, opinions)
        similarity = self._neighbours.similarity(vectors)
        considered = []
        for row, item in enumerate(items):
            completion, near = final[row], float(similarity[row])
            output = self._card.tasks[item.task].output
            answer = parse_completion(output, completion.text) if completion.finished else None
            features = (*self._features(first[row], completion, opinions[row]), near)
            considered.append(Considered(answer, features, near))
        return considered

    def _question(self, item: TaskRequest) -> EngineRequest:
        card = task_of(self._card, item)
        return EngineRequest(
            self._card.id,
            render_prompt(card.hint, item.request),
            constraint_of(item.request, card.output, card.facts),
        )

    def _overruled(
        self, asked: list[EngineRequest], first: list[Completion], opinions: NDArray[np.float64]
    ) -> list[Completion]:
        """Generate again, for the classifier's tool, where it is sure of another one."""
        again: dict[int, EngineRequest] = {}
        for row, (request, completion) in enumerate(zip(asked, first, strict=True)):
            best = int(opinions[row].argmax())
            name = self._opinion.classes[best]
            shapes = request.constraint.tools if request.constraint else ()
            wanted = tuple(shape for shape in shapes if shape.name == name)
            if wanted and opinions[row][best] >= OVERRULE and name != _tool(completion):
                assert request.constraint is not None
                again[row] = replace(request, constraint=replace(request.constraint, tools=wanted))
        final = list(first)
        for row, completion in zip(again, self._engine.complete(list(again.values())), strict=True):
            final[row] = completion
        return final

    def _features(
        self, first: Completion, final: Completion, opinion: NDArray[np.float64]
    ) -> tuple[float, ...]:
        """Summarise how sure both are: logarithms and probabilities, for a calibrator that is linear."""
        classes = self._opinion.classes
        name = _tool(final)
        seconded = math.log((float(opinion[classes.index(name)]) if name in classes else 0.0) + 1e-6)
        generated, _, _, _, _ = confidence_features(first)
        _, rest, least, chosen, arguments = confidence_features(final)
        return (
            *(generated, rest, least, seconded),
            *(math.exp(value) for value in (generated, rest, least, seconded)),
            *margins(opinion),
            *(chosen, arguments, arguments**2, float(arguments == 0)),
            float(_tool(first) == name),
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


def _tool(completion: Completion) -> str:
    return completion.text.partition(" ")[0]
