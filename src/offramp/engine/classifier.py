"""A linear classifier at serving time: a matrix, a bias and the names of the classes."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """Softmax regression.

    Attributes:
        weights: Shape (classes, features).
        bias: Shape (classes,).
        classes: What each row stands for.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    classes: tuple[str, ...]

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return class probabilities, shape (rows, classes), for features of shape (rows, features)."""
        scores = (features @ self.weights.T + self.bias).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        exponentials = np.exp(scores)
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file; plain arrays, nothing that loading could execute."""
        names = np.frombuffer(json.dumps(self.classes).encode(), np.uint8)
        np.savez(path, weights=self.weights, bias=self.bias, classes=names)

    @classmethod
    def load(cls, path: Path) -> LinearClassifier:
        """Read what `save` wrote.

        Raises:
            EngineError: The file is missing or is no classifier.
        """
        try:
            # From memory: numpy leaves a broken file open.
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                names = tuple(json.loads(arrays["classes"].tobytes()))
                return cls(arrays["weights"], arrays["bias"], names)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise EngineError(
                f"{path} is no classifier: {error}.", hint="Train it again: offramp convert."
            ) from error
