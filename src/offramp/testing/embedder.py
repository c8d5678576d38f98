"""An encoder that needs no weights: texts with the same words are alike."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


class HashEmbedder:
    """A bag of words, each word hashed to a signed dimension; the same on every machine.

    Args:
        dimensions: Length of the vectors.
    """

    def __init__(self, dimensions: int = 384) -> None:
        self._dimensions = dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimensions); a text without words gets the first axis."""
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.casefold()):
                place, sign = self._place(word)
                vectors[row, place] += sign
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0, 0] = 1.0
        return np.asarray(vectors / np.where(norms == 0, 1.0, norms), np.float32)

    def _place(self, word: str) -> tuple[int, float]:
        hashed = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())
        return hashed // 2 % self._dimensions, 1.0 if hashed % 2 else -1.0
