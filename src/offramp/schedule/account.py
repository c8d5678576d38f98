"""Deficit round-robin across classes, with one more account for the surplus.

Surplus round-robin (Adiseshu, Parulkar and Varghese, 1996): whoever has credit may send and may overdraw by
one call, so that a call's cost need not be known to choose its class, and is corrected when it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Accounts:
    """Credit of each class on one engine, in device seconds.

    A round deals out the quantum: each waiting class gets its weight of it, the surplus what is left. The
    surplus goes to the first of the classes in their order.

    Args:
        weights: Guaranteed share of each class.
        quantum_s: Device seconds of a round.
        debt_s: Most that a class can be behind after a correction.
    """

    __slots__ = ("_credit", "_debt", "_grants", "_quantum")

    def __init__(self, weights: Sequence[float], quantum_s: float, debt_s: float) -> None:
        self._quantum = quantum_s
        self._grants = [weight * quantum_s for weight in weights]
        self._debt = -debt_s
        self._credit = [0.0] * (len(weights) + 1)

    @property
    def surplus(self) -> int:
        """Number of the surplus's account."""
        return len(self._grants)

    @property
    def credit(self) -> tuple[float, ...]:
        """What each account has, the surplus last."""
        return tuple(self._credit)

    def rest(self, kind: int) -> None:
        """Take the credit of a class of which nothing waits: it is not saved up. Debts stay."""
        self._credit[kind] = min(self._credit[kind], 0.0)

    def choose(self, able: Sequence[int], waiting: Sequence[int]) -> tuple[int, int]:
        """Choose who sends.

        Args:
            able: Classes that can send now, in order, at least one.
            waiting: Those of which something waits, ``able`` among them.

        Returns:
            The class, and the account that pays.
        """
        credit, surplus = self._credit, len(self._grants)
        while True:
            for kind in able:
                if credit[kind] > 0.0:
                    return kind, kind
            if credit[surplus] > 0.0:
                return able[0], surplus
            self._deal(able, waiting)

    def _deal(self, able: Sequence[int], waiting: Sequence[int]) -> None:
        """Deal out as many rounds as the first account that can send needs."""
        credit, grants, surplus = self._credit, self._grants, len(self._grants)
        left = self._quantum
        for kind in waiting:
            left -= grants[kind]
        rounds = 0
        for kind in able:
            needed = int(-credit[kind] / grants[kind]) + 1
            if not rounds or needed < rounds:
                rounds = needed
        if left > self._quantum * 1e-9:
            rounds = min(rounds, int(-credit[surplus] / left) + 1)
            credit[surplus] += rounds * left
        for kind in waiting:
            # One that waits and cannot send saves up no more than a round.
            credit[kind] = min(credit[kind] + rounds * grants[kind], max(credit[kind], grants[kind]))

    def charge(self, account: int, device_s: float) -> None:
        """Take what a call is predicted to cost from who pays."""
        self._credit[account] -= device_s

    def correct(self, account: int, more_s: float) -> None:
        """Take what a call cost more than it was charged; give back where it cost less."""
        credit = self._credit[account] - more_s
        if more_s > 0.0:
            credit = max(credit, min(self._debt, self._credit[account]))
        else:
            # What is given back pays debts; credit comes from rounds alone.
            credit = min(credit, max(self._credit[account], 0.0))
        self._credit[account] = credit
