"""How much KV cache an engine needs so that demand exceeds it with a bounded probability.

What a request holds grows while it is written: its prompt, and what is generated so far. What all of them
hold is bounded by its effective bandwidth (Chernoff): with the log of its moment generating function L,
``P(K > B) <= exp(L(theta) - theta B)`` for any theta above 0, so that ``B = (L(theta) - log eps) / theta`` is
a budget that is exceeded with probability at most eps (Kelly, "Notes on effective bandwidths", 1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offramp.plan.queueing import Presence

BLOCK = 16
"""Tokens of one block of KV cache: a request holds whole ones."""

_THETAS = np.geomspace(1e-3, 30.0, 28)


@dataclass(frozen=True)
class Holdings:
    """What requests hold at a random moment, by kind of request.

    Attributes:
        prompt: Tokens held from the start, shape ``(kinds,)``.
        completion: Tokens held at the end on top of that, shape ``(kinds,)``.
    """

    prompt: NDArray[np.float64]
    completion: NDArray[np.float64]

    @cached_property
    def largest(self) -> float:
        """Most tokens that a request ever holds."""
        return float((self.prompt + self.completion).max() + BLOCK - 1)

    def log_mgf(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log of E[exp(theta tokens)] of one request at each theta of `thetas`.

        Args:
            weight: Of each kind among the requests *present* (rate times duration), shape ``(kinds,)``.

        Returns:
            Shape ``(thetas,)``.
        """
        tops, table = self._table
        logs: NDArray[np.float64] = tops + np.log(table @ (weight / weight.sum()))
        return logs

    @cached_property
    def thetas(self) -> NDArray[np.float64]:
        """Where the bound is tried; any of them is valid, the best is taken."""
        return _THETAS / self.largest

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moment generating functions of the kinds, each row over its largest.

        Tokens are uniform between the prompt and all of it, and the last block counts whole.
        """
        growth = np.outer(self.thetas, self.completion)
        # log((e^x - 1) / x), without overflow; x / 2 where x is next to nothing.
        safe = np.maximum(growth, 1e-9)
        uniform = np.where(growth > 1e-9, growth + np.log(-np.expm1(-safe)) - np.log(safe), growth / 2)
        logs = np.outer(self.thetas, self.prompt + BLOCK - 1) + uniform
        tops = logs.max(axis=1)
        return tops, np.exp(logs - tops[:, None])


def overflow_budget(
    holdings: Holdings, weight: NDArray[np.float64], present: Presence, *, slots: int, overflow: float
) -> float:
    """Return the tokens of KV cache that are exceeded with probability at most ``overflow``.

    Args:
        holdings: What a request holds.
        weight: Of each kind among the requests present, shape ``(kinds,)``.
        present: How many there are.
        slots: No more than these hold anything; the others wait.
        overflow: The bound, above 0 and at most 1.
    """
    likely = present.probability > 0.0
    requests = np.minimum(present.requests[likely], slots)
    exponents = np.log(present.probability[likely]) + np.outer(holdings.log_mgf(weight), requests)
    tops = exponents.max(axis=1)
    logs = tops + np.log(np.exp(exponents - tops[:, None]).sum(axis=1))
    budgets = (logs - math.log(overflow)) / holdings.thetas
    # Never more than all slots at their largest, which cannot be exceeded at all.
    return min(float(budgets.min()), slots * holdings.largest)
