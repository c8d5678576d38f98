"""The prompted specialist: a small model that is shown the nearest training calls, and trained on nothing."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import EngineError
from offramp.core.model import EngineRequest
from offramp.core.render import constraint_of, parse_completion, payload_of
from offramp.engine.generative_specialist import confidence_features
from offramp.engine.specialist import NEIGHBOURS, Card, Considered, task_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.core.model import Completion
    from offramp.engine.embedder import Embedder
    from offramp.engine.port import Engine
    from offramp.engine.specialist import TaskRequest

FILE = "examples.json"

SHOWN = 6
"""Examples in a prompt at most; fewer where the base's context is short."""

MAX_TOKENS = 96
"""Tokens of an answer at most; room for them is left in the context."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One training call that may be shown.

    Attributes:
        task: Its task.
        payload: The variable part of the request.
        completion: The teacher's answer in compact form.
    """

    task: str
    payload: str
    completion: str

    def lines(self) -> str:
        """Return it as it stands in a prompt."""
        return f"Request: {self.payload}\nAnswer: {self.completion}\n\n"


class PromptedSpecialist:
    """Generates after the nearest training calls of the same task, under the request's own constraint.

    Args:
        card: What it is.
        engine: Its bare base answers.
        examples: The training calls.
        vectors: Unit vectors of their payloads, shape (examples, dimensions).
        embedder: The encoder that made them.
    """

    def __init__(
        self,
        card: Card,
        engine: Engine,
        examples: Sequence[Shown],
        vectors: NDArray[np.float32],
        embedder: Embedder,
    ) -> None:
        self._card = card
        self._engine = engine
        self._examples = list(examples)
        # In the precision of the file, so that what is certified today is what is loaded tomorrow.
        self._vectors = vectors.astype(np.float16).astype(np.float32)
        self._embedder = embedder
        tasks = np.array([example.task for example in self._examples])
        self._rows = {task: np.flatnonzero(tasks == task) for task in card.tasks}

    @property
    def card(self) -> Card:
        """What it is."""
        return self._card

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Generate an answer to each item; see `Specialist.consider`.

        The features: log-probabilities of the name, of the rest and of the least sure token, and the first
        two as probabilities; similarity to the nearest example, and the mean over those shown; which share
        of those shown has the same answer, and the same first word of it.
        """
        if not items:
            return []
        vectors = self._embedder.embed([payload_of(item.request) for item in items])
        found = [self._prompted(item, vector) for item, vector in zip(items, vectors, strict=True)]
        asked = [request for request, _, _ in found if request is not None]
        completions = iter(self._engine.complete(asked))
        considered = []
        for item, (request, shown, near) in zip(items, found, strict=True):
            completion = next(completions) if request is not None else None
            considered.append(self._judged(item, completion, shown, near))
        return considered

    def _prompted(
        self, item: TaskRequest, vector: NDArray[np.float32]
    ) -> tuple[EngineRequest | None, list[Shown], NDArray[np.float32]]:
        """Return what to ask, the examples shown, and how near they are; None where nothing fits in."""
        card = task_of(self._card, item)
        rows = self._rows[item.task]
        similarity = self._vectors[rows] @ vector
        best = np.argsort(-similarity, kind="stable")[:SHOWN]
        shown, near = [self._examples[rows[index]] for index in best], similarity[best]
        question = f"Request: {payload_of(item.request)}\nAnswer:"
        for count in range(len(shown), -1, -1):
            # The nearest stands last, next to the question: what was read last weighs most.
            examples = "".join(example.lines() for example in reversed(shown[:count]))
            prompt = f"{card.hint}: answer as in the examples.\n\n{examples}{question}"
            if self._engine.count(prompt) + MAX_TOKENS <= self._engine.context:
                constraint = constraint_of(item.request, card.output, card.facts)
                return EngineRequest("", prompt, constraint, MAX_TOKENS), shown[:count], near
        return None, [], near

    def _judged(
        self,
        item: TaskRequest,
        completion: Completion | None,
        shown: list[Shown],
        near: NDArray[np.float32],
    ) -> Considered:
        nearest = float(near[0]) if len(near) else 0.0
        if completion is None:
            return Considered(None, (0.0,) * _FEATURES, nearest)
        text = completion.text.strip()
        answer = parse_completion(self._card.tasks[item.task].output, text) if completion.finished else None
        name, rest, least, _, _ = confidence_features(completion)
        same = sum(example.completion == text for example in shown)
        alike = sum(_first(example.completion) == _first(text) for example in shown)
        count = max(1, len(shown))
        features = (
            *(name, rest, least, math.exp(name), math.exp(rest)),
            *(nearest, float(near.mean()) if len(near) else 0.0),
            *(same / count, alike / count),
        )
        return Considered(answer, features, nearest)

    def save(self, folder: Path) -> None:
        """Write into a folder: the training calls themselves (masked), and their vectors."""
        rows = [[example.task, example.payload, example.completion] for example in self._examples]
        (folder / FILE).write_text(json.dumps(rows))
        np.save(folder / NEIGHBOURS, self._vectors.astype(np.float16))
        # Last, because a folder with a card counts as whole.
        self._card.save(folder)

    @classmethod
    def load(cls, folder: Path, engine: Engine, embedder: Embedder) -> PromptedSpecialist:
        """Read what `save` wrote.

        Raises:
            EngineError: A file is missing or broken.
        """
        try:
            examples = [Shown(*row) for row in json.loads((folder / FILE).read_text())]
            vectors = np.load(io.BytesIO((folder / NEIGHBOURS).read_bytes()), allow_pickle=False)
        except (OSError, EOFError, ValueError, TypeError) as error:
            raise EngineError(f"{folder} holds no examples: {error}.", hint="offramp convert.") from error
        if len(vectors) != len(examples):
            raise EngineError(
                f"{folder} holds {len(examples)} examples and {len(vectors)} vectors.",
                hint="offramp convert.",
            )
        return cls(Card.load(folder), engine, examples, vectors, embedder)


_FEATURES = 9


def _first(completion: str) -> str:
    return completion.partition(" ")[0]
