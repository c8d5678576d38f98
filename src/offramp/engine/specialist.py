"""Specialists at serving time: one interface, one folder on disk.

A specialist *considers* calls: it says what it would answer and how that looked from inside (features).
Whether that is sure enough is not its business: a calibrator turns features into a confidence, and the
certificate's threshold decides.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from offramp.core.call import OutputType
from offramp.core.errors import EngineError
from offramp.core.measure import Measure
from offramp.core.render import AnswerFacts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.core.call import Answer
    from offramp.core.json import JsonObject

CARD = "specialist.json"
NEIGHBOURS = "neighbours.npy"


@dataclass(frozen=True, slots=True)
class TaskCard:
    """What a specialist has to know of one of its tasks.

    Attributes:
        hint: Short name that stands before every prompt, so that one adapter can tell tasks apart.
        output: Form of the answers.
        facts: What its training answers had in common, for constrained decoding.
        measure: In which sense its answers are compared with the teacher's; None: the form's own.
    """

    hint: str
    output: OutputType
    facts: AnswerFacts = field(default_factory=AnswerFacts)
    measure: Measure | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """What a specialist's folder says of itself.

    Attributes:
        id: The specialist's id.
        kind: Its kind of candidate, as in `offramp.core.ladder.LADDER`.
        tasks: Its tasks by id.
        base: The model it stands on; "" for none.
        dataset: Hash of the ids of the training and validation calls (lineage).
        created: Seconds since the epoch.
        training: Figures of the training run.
    """

    id: str
    kind: str
    tasks: dict[str, TaskCard]
    base: str = ""
    dataset: str = ""
    created: float = 0.0
    training: JsonObject = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the card into a specialist's folder."""
        (folder / CARD).write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, folder: Path) -> Card:
        """Read a specialist's folder.

        Raises:
            EngineError: There is no card, or it is not one.
        """
        try:
            value = json.loads((folder / CARD).read_text())
            tasks = {
                task: TaskCard(
                    card["hint"],
                    OutputType(card["output"]),
                    AnswerFacts(tuple(card["facts"]["keys"]), card["facts"]["copies"]),
                    Measure(card["measure"]) if card.get("measure") else None,
                )
                for task, card in value.pop("tasks").items()
            }
            return cls(tasks=tasks, **value)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"{folder} holds no specialist: {error}.", hint="Train it again: offramp convert."
            ) from error


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One request with the task it was assigned to."""

    task: str
    request: JsonObject


@dataclass(frozen=True, slots=True)
class Considered:
    """What a specialist would say to one call.

    Attributes:
        answer: The answer, None where it has nothing valid to say.
        features: How sure it looked from inside; the calibrator's input, equal length for all calls.
        similarity: Cosine similarity to the nearest training call; low means out of distribution.
    """

    answer: Answer | None
    features: tuple[float, ...]
    similarity: float


class Specialist(Protocol):
    """One way to answer the calls of some tasks."""

    @property
    def card(self) -> Card:
        """What it is."""
        ...

    def consider(self, items: Sequence[TaskRequest]) -> list[Considered]:
        """Say what it would answer to each item, in order.

        Raises:
            EngineError: An item's task is not one of its own, or its engine failed.
        """
        ...


class Neighbours:
    """Similarity to the nearest training call.

    Args:
        vectors: Unit vectors of the training payloads, shape (calls, dimensions).
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        # In the precision of the file, so that what is certified today is what is loaded tomorrow.
        self._vectors = vectors.astype(np.float16).astype(np.float32)

    def similarity(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the largest cosine similarity of each row, shape (rows,)."""
        return np.asarray((vectors @ self._vectors.T).max(axis=1), np.float32)

    def save(self, folder: Path) -> None:
        """Write into a specialist's folder, in half precision, which is all there is."""
        np.save(folder / NEIGHBOURS, self._vectors.astype(np.float16))

    @classmethod
    def load(cls, folder: Path) -> Neighbours:
        """Read what `save` wrote.

        Raises:
            EngineError: The file is missing or broken.
        """
        try:
            return cls(np.load(io.BytesIO((folder / NEIGHBOURS).read_bytes()), allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise EngineError(
                f"{folder} holds no {NEIGHBOURS}: {error}.", hint="Train it again: offramp convert."
            ) from error


def with_task(
    vectors: NDArray[np.float32], tasks: Sequence[str], known: Sequence[str]
) -> NDArray[np.float32]:
    """Append a one-hot of the task where there are several.

    Args:
        vectors: Shape (rows, dimensions).
        tasks: Task of each row.
        known: All tasks, in a fixed order.

    Returns:
        Shape (rows, dimensions) or (rows, dimensions + tasks).
    """
    if len(known) < 2:
        return vectors
    hot = np.array([[task == other for other in known] for task in tasks], np.float32)
    return np.hstack([vectors, hot.reshape(len(tasks), len(known))])


def task_of(card: Card, item: TaskRequest) -> TaskCard:
    """Look up an item's task.

    Raises:
        EngineError: It is not one of the specialist's.
    """
    found = card.tasks.get(item.task)
    if found is None:
        raise EngineError(f"Specialist {card.id} does not serve task {item.task}.", hint="The call defers.")
    return found
