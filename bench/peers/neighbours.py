"""The semantic cache: the answer of the most similar training call of the same call site."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from bench.peers.gates import judged, loosest
from bench.peers.traffic import embedded_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.gates import Decided
    from bench.peers.splits import Split
    from bench.peers.traffic import Traffic
    from numpy.typing import NDArray

    from offramp.core.dataset import Item
    from offramp.engine.embedder import Embedder

BATCH = 1024


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest training call of some calls.

    Attributes:
        row: Its number among the training calls; -1 where its call site has none.
        similarity: Cosine similarity to it, shape (calls,); 0 where there is none.
    """

    row: NDArray[np.intp]
    similarity: NDArray[np.float32]


class SemanticCache:
    """A cache over the training calls of a split.

    Args:
        traffic: What the calls belong to.
        drawn: The split.
        known: Looks embeddings up.
    """

    def __init__(self, traffic: Traffic, drawn: Split, known: Embedder) -> None:
        self._traffic, self._drawn = traffic, drawn
        self._train = drawn.parts["train"]
        self._tasks = np.array([row.task for row in self._train])
        self._vectors = known.embed(_texts(self._train))
        self._found = {part: self._nearest(drawn.parts[part], known) for part in ("validation", "test")}

    def decided(self, alpha: float) -> Decided:
        """Answer test calls at least as similar as the threshold that validation allows."""
        validation = self._found["validation"]
        wrong = self._judged("validation", validation).wrong
        threshold = loosest(validation.similarity.astype(np.float64), wrong, alpha)
        test = self._found["test"]
        at = np.where(test.similarity >= threshold, test.row, -1)
        return self._judged("test", Nearest(at, test.similarity), f"similarity at least {threshold:.3f}")

    def timed(self, embedder: Embedder, calls: int) -> tuple[float, ...]:
        """Return CPU milliseconds of looking up each of the first test calls alone, embedding included."""
        rows = self._drawn.parts["test"][:calls]
        embedder.embed(_texts(rows[:1]))
        return tuple(self._timed(row, embedder) for row in rows)

    def _timed(self, row: Item, embedder: Embedder) -> float:
        started = time.process_time()
        self._nearest([row], embedder)
        return (time.process_time() - started) * 1e3

    def _judged(self, part: str, nearest: Nearest, note: str = "") -> Decided:
        answers = [self._train[at].answer if at >= 0 else None for at in nearest.row.tolist()]
        return judged(self._traffic, self._drawn.parts[part], answers, note)

    def _nearest(self, rows: Sequence[Item], embedder: Embedder) -> Nearest:
        found, similarity = np.full(len(rows), -1, np.intp), np.zeros(len(rows), np.float32)
        vectors, tasks = embedder.embed(_texts(rows)), np.array([row.task for row in rows])
        for task in np.unique(tasks):
            mine, theirs = np.flatnonzero(tasks == task), np.flatnonzero(self._tasks == task)
            if not len(theirs):
                continue
            for start in range(0, len(mine), BATCH):
                some = mine[start : start + BATCH]
                product = vectors[some] @ self._vectors[theirs].T
                best = product.argmax(axis=1)
                found[some], similarity[some] = theirs[best], product[np.arange(len(some)), best]
        return Nearest(found, similarity)


def _texts(rows: Sequence[Item]) -> list[str]:
    return [embedded_text(row.call.request) for row in rows]
