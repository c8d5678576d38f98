"""Notices a training run that diverges while there is still something to save."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from offramp.core.errors import EngineError

WINDOW = 5
"""Steps whose median loss is looked at: three bad ones in a row show, two hard batches do not."""

FACTOR, MARGIN = 1.5, 1.0
"""A run has diverged where the median is above ``FACTOR`` times the lowest so far plus ``MARGIN`` nats."""


class Diverged(EngineError):
    """A training run has diverged."""


class LossGuard:
    """Watches the losses of consecutive steps.

    The first two losses are a reference as well, so that a run which only ever gets worse is caught.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._lowest = math.inf

    def watch(self, step: int, loss: float, norm: float) -> None:
        """Take in one step.

        Args:
            step: Its number.
            loss: Its loss, nats per completion token.
            norm: Norm of its gradient.

        Raises:
            Diverged: Either is not a number, or the loss exploded.
        """
        for name, value in (("loss", loss), ("gradient's norm", norm)):
            if not math.isfinite(value):
                raise diverged(f"at step {step}: the {name} is {value}")
        self._recent.append(loss)
        middle = median(self._recent)
        if middle > FACTOR * self._lowest + MARGIN:
            raise diverged(f"at step {step}: the loss is {middle:.2f}, it has been {self._lowest:.2f}")
        if len(self._recent) == 2:
            # The larger of two: one easy batch must not make all others look like an explosion.
            self._lowest = max(self._recent)
        elif len(self._recent) == WINDOW:
            self._lowest = min(self._lowest, middle)

    def state(self) -> list[float]:
        """Return what it has seen, the lowest median first, for a checkpoint."""
        return [self._lowest, *self._recent]

    def restore(self, state: list[float]) -> None:
        """Take up what `state` returned."""
        self._lowest = state[0]
        self._recent = deque(state[1:], maxlen=WINDOW)


def diverged(what: str) -> Diverged:
    """Return the error that says what was seen, and what to do."""
    return Diverged(f"Training diverged {what}.", hint="Lower matrix_rate; a tenth of it is a good next try.")
