"""What a student remembers of its training calls: where they stand, and what was said to them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.engine.extractive_student import Reply

NEAREST = 8
"""Training calls that are asked whether they had the same answer."""


@dataclass(frozen=True, slots=True)
class Experience:
    """The training calls as the student sees them.

    Attributes:
        vectors: Unit vectors, shape (calls, width).
        labels: Index of each call's label, shape (calls,).
        forms: Number of each call's set of arguments, equal for equal sets, shape (calls,).
    """

    vectors: NDArray[np.float16]
    labels: NDArray[np.int32]
    forms: NDArray[np.int64]

    def ask(self, vectors: NDArray[np.float32], replies: Sequence[Reply | None]) -> NDArray[np.float64]:
        """Compare replies with the answers of the nearest training calls.

        Returns:
            Share of them with the same label, share with the same label and arguments, and the similarity
            of the nearest; shape (rows, 3).
        """
        found = np.zeros((len(replies), 3))
        near = vectors @ self.vectors.astype(np.float32).T
        count = min(NEAREST, near.shape[1])
        places = np.argpartition(-near, count - 1, axis=1)[:, :count]
        for row, reply in enumerate(replies):
            if reply is not None:
                same = self.labels[places[row]] == reply.label
                alike = same & (self.forms[places[row]] == form_of(reply.keys))
                found[row] = same.mean(), alike.mean(), near[row].max()
        return found

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file of plain arrays."""
        np.savez(path, vectors=self.vectors, labels=self.labels, forms=self.forms)

    @classmethod
    def load(cls, path: Path) -> Experience:
        """Read what `save` wrote.

        Raises:
            EngineError: The file is missing or broken.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                return cls(arrays["vectors"], arrays["labels"], arrays["forms"])
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise EngineError(
                f"{path} holds no experience: {error}.", hint="Train it again: offramp convert."
            ) from error


def form_of(keys: Sequence[int]) -> int:
    """Return a number for a set of arguments, equal for equal sets."""
    return sum(1 << (key % 62) for key in set(keys))
