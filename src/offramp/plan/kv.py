"""How much KV cache an engine needs so that demand exceeds it with a bounded probability.

What a request holds grows while it is written: its prompt, and what is generated so far. What all of them
hold is bounded by its effective bandwidth (Chernoff): with the log of its moment generating function L,
``P(K > B) <= exp(L(theta) - theta B)`` for any theta above 0, so that ``B = (L(theta) - log eps) / theta`` is
a budget that is exceeded with probability at most eps (Kelly, "Notes on effective bandwidths", 1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offramp.plan.queueing import Presence

BLOCK = 16
"""Tokens of one block of KV cache: a request holds whole ones."""

_THETAS = 40


@dataclass(frozen=True, slots=True)
class Holdings:
    """What requests of an engine hold at a random moment, by kind of request.

    Attributes:
        prompt: Tokens held from the start, shape ``(kinds,)``.
        completion: Tokens held at the end on top of that, shape ``(kinds,)``.
        weight: Share of the requests *present*: by rate times duration, shape ``(kinds,)``.
    """

    prompt: NDArray[np.float64]
    completion: NDArray[np.float64]
    weight: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean tokens of a request that is there."""
        return float(self.weight @ (self.prompt + self.completion / 2) / self.weight.sum())

    @property
    def largest(self) -> float:
        """Most tokens that a request ever holds."""
        return float((self.prompt + self.completion).max() + BLOCK - 1)

    def log_mgf(self, theta: float) -> float:
        """Log of E[exp(theta tokens)]: uniform between the prompt and all of it, the last block whole."""
        growth = theta * self.completion
        # log((e^x - 1) / x), without overflow; 0 where nothing is generated.
        safe = np.maximum(growth, 1e-12)
        uniform = np.where(growth > 1e-9, growth + np.log(-np.expm1(-safe)) - np.log(safe), growth / 2)
        held = theta * (self.prompt + BLOCK - 1) + uniform
        return float(logsumexp(held, b=self.weight / self.weight.sum()))


def overflow_budget(holdings: Holdings, present: Presence, *, slots: int, overflow: float) -> float:
    """Return the tokens of KV cache that are exceeded with probability at most ``overflow``.

    Args:
        holdings: What a request holds.
        present: How many there are.
        slots: No more than these hold anything; the others wait.
        overflow: The bound, above 0 and at most 1.
    """
    requests = np.minimum(present.requests, slots)
    with np.errstate(divide="ignore"):
        logs = np.log(present.probability)
    spread = holdings.largest - float(holdings.prompt.min())
    scale = max(holdings.mean, spread, 1.0)
    best = math.inf
    for theta in np.geomspace(1e-4, 30.0, _THETAS) / scale:
        exponent = logs + requests * holdings.log_mgf(float(theta))
        best = min(best, (float(logsumexp(exponent)) - math.log(overflow)) / float(theta))
    # Never more than all slots at their largest, which cannot be exceeded at all.
    return min(best, slots * holdings.largest)
