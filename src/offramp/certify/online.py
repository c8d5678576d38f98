"""Statistics that may be looked at after every call: e-processes and a confidence sequence.

All are betting games (Waudby-Smith and Ramdas, arXiv 2010.09686; Howard, Ramdas, McAuliffe and Sekhon,
arXiv 1810.08240) on the Bernoulli losses of *audited* calls. For a rate ``l`` the process

    exp(l * errors) / (1 - q + q exp(l)) ** n

has mean at most 1 as long as each next audited call disagrees with probability at most q given the past
(at least q, for negative rates); so has its average over a fixed list of rates. By Ville's inequality it
ever reaches 1/delta with probability at most delta, however often one looks.

Two things are the caller's to keep. Only uniformly audited calls enter: deferred calls are selected. And
at most one audited call per session enters, because the next call of a session that went wrong goes wrong
more often than the promise says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from offramp.certify.bounds import check_share
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from offramp.certify.arrays import Bools, Floats
    from offramp.core.json import JsonObject

RATES: Final = tuple(2.0 ** (half / 2.0) for half in range(-8, 7))
"""Betting rates, 1/16 to 8 in steps of the square root of 2: log odds ratios that are bet on."""

_START_MASS: Final = 2.10974280123689
"""Sum of 1 / (n ln(n)^2) over n = 2, 3, ..."""


def log_evidence(n: ArrayLike, errors: ArrayLike, risk: ArrayLike, *, above: bool) -> Floats:
    """Return the log of the mixture e-process of the counts, element by element.

    Args:
        n: Audited calls, 0 or more, shape (...).
        errors: Of those, disagreements, shape (...).
        risk: The risk that is bet against, between 0 and 1, shape (...).
        above: True: evidence that the risk is above it; False: that it is below.
    """
    rates = np.array(RATES) if above else -np.array(RATES)
    calls, wrong, bet = (np.asarray(value, dtype=np.float64)[..., None] for value in (n, errors, risk))
    values = rates * wrong - calls * np.log1p(bet * np.expm1(rates))
    return np.asarray(logsumexp(values, axis=-1) - math.log(len(RATES)), dtype=np.float64)


def confidence_sequence(n: int, errors: int, delta: float) -> tuple[float, float]:
    """Return an interval for the live risk that holds at all times at once, at confidence ``1 - delta``.

    It covers the mean, over the audited calls so far, of each call's probability of disagreeing, also
    where that drifts. The intervals are not to be intersected, because that mean may move.

    Args:
        n: Audited calls.
        errors: Of those, disagreements.
        delta: Probability of the interval ever failing; each side gets half.

    Returns:
        Lower and upper end; 0 and 1 without calls.

    Raises:
        BadInput: Not ``0 <= errors <= n``, or delta outside 0 to 1.
    """
    check_share("delta", delta)
    if not 0 <= errors <= n:
        raise BadInput(
            f"errors is {errors} of {n} audited calls; it must be 0 or more, and at most the calls."
        )
    if not n:
        return 0.0, 1.0
    bar, mean, tiny = math.log(2.0 / delta), errors / n, 1e-12
    low, high = 0.0, 1.0
    if log_evidence(n, errors, tiny, above=True) > bar:
        low = _crossing(n, errors, (tiny, mean), bar, above=True)
    if log_evidence(n, errors, 1.0 - tiny, above=False) > bar:
        high = _crossing(n, errors, (mean, 1.0 - tiny), bar, above=False)
    return low, high


@dataclass(frozen=True, slots=True)
class Promotion:
    """Evidence that the risk is below alpha (an e-process against H0: risk >= alpha).

    Attributes:
        alpha: The certified risk.
        delta: Probability of ever promoting a specialist whose risk is alpha or more.
        n: Audited calls so far.
        errors: Of those, disagreements.
        peak: Largest log evidence so far.
    """

    alpha: float
    delta: float
    n: int = 0
    errors: int = 0
    peak: float = 0.0

    def __post_init__(self) -> None:
        _check_test(self.alpha, self.delta)

    @property
    def log_wealth(self) -> float:
        """Log of the present evidence; 0 at the start."""
        return float(log_evidence(self.n, self.errors, self.alpha, above=False))

    @property
    def reached(self) -> bool:
        """Whether the evidence ever reached ``1 / delta``: promote."""
        return self.peak >= -math.log(self.delta)

    def observe(self, *, loss: bool) -> Self:
        """Return the state after one more audited call of another session."""
        after = replace(self, n=self.n + 1, errors=self.errors + int(loss))
        return replace(after, peak=max(self.peak, after.log_wealth))

    def to_dict(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "alpha": self.alpha,
            "delta": self.delta,
            "n": self.n,
            "errors": self.errors,
            "peak": self.peak,
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what ``to_dict`` wrote."""
        counts = (int(value["n"]), int(value["errors"]))
        return cls(float(value["alpha"]), float(value["delta"]), *counts, float(value["peak"]))


@dataclass(frozen=True, slots=True)
class Audit:
    """Evidence that the risk is above alpha, or became so (an e-process against H0: risk <= alpha).

    A share of the starting wealth, falling as ``1 / (t ln(t)^2)``, is put aside for a bet that starts at
    call t. Each bet is an e-process, so their sum is one; and a drift after ten thousand good calls is
    found nearly as fast as one at the beginning, which a bet that has lost since call 1 cannot do.

    Attributes:
        alpha: The certified risk.
        delta: Probability of ever rolling back a specialist whose risk never exceeds alpha.
        n: Audited calls so far.
        errors: Of those, disagreements.
        peak: Largest log evidence so far.
        idle: Share of the wealth that is put aside for bets still to start.
        logs: Log wealth of the running bets, one per rate.
    """

    alpha: float
    delta: float
    n: int = 0
    errors: int = 0
    peak: float = 0.0
    idle: float = 1.0
    logs: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_test(self.alpha, self.delta)

    @property
    def log_wealth(self) -> float:
        """Log of the present evidence; 0 at the start."""
        return float(audit_log_wealth(np.array(self.logs), self.idle)) if self.logs else 0.0

    @property
    def reached(self) -> bool:
        """Whether the evidence ever reached ``1 / delta``: roll back."""
        return self.peak >= -math.log(self.delta)

    def observe(self, *, loss: bool) -> Self:
        """Return the state after one more audited call of another session."""
        n = self.n + 1
        logs = np.array(self.logs) if self.logs else np.full(len(RATES), -np.inf)
        logs = audit_step(logs, np.array(loss), self.alpha, n)
        after = replace(
            self,
            n=n,
            errors=self.errors + int(loss),
            idle=max(self.idle - start_weight(n), 0.0),
            logs=tuple(logs.tolist()),
        )
        return replace(after, peak=max(self.peak, after.log_wealth))

    def to_dict(self) -> JsonObject:
        """Return it as JSON."""
        return {
            "alpha": self.alpha,
            "delta": self.delta,
            "n": self.n,
            "errors": self.errors,
            "peak": self.peak,
            "idle": self.idle,
            "logs": list(self.logs),
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what ``to_dict`` wrote."""
        logs = tuple(float(item) for item in value["logs"])
        counts = (int(value["n"]), int(value["errors"]))
        return cls(
            float(value["alpha"]),
            float(value["delta"]),
            *counts,
            float(value["peak"]),
            float(value["idle"]),
            logs,
        )


def start_weight(call: int) -> float:
    """Return the wealth put aside for a bet that starts at this audited call (1, 2, ...); sums to 1."""
    return 1.0 / (_START_MASS * (call + 1) * math.log(call + 1) ** 2)


def audit_step(logs: Floats, loss: Bools, alpha: float, call: int) -> Floats:
    """Start the bets of one audited call and settle all running ones.

    Args:
        logs: Log wealth per rate, shape (..., rates); minus infinity before the first call.
        loss: Whether the call disagreed, shape (...).
        alpha: The risk that is bet against.
        call: Its number, from 1.

    Returns:
        Log wealth per rate afterwards, shape (..., rates).
    """
    rates = np.array(RATES)
    growth = np.where(loss[..., None], rates, 0.0) - np.log1p(alpha * np.expm1(rates))
    return np.asarray(np.logaddexp(logs, math.log(start_weight(call))) + growth, dtype=np.float64)


def audit_log_wealth(logs: Floats, idle: float) -> Floats:
    """Return the log evidence of running bets and the wealth still put aside, shape (...)."""
    running = logsumexp(logs, axis=-1) - math.log(len(RATES))
    return np.asarray(np.logaddexp(running, math.log(max(idle, 1e-300))), dtype=np.float64)


def delay_bounds(alpha: float, delta: float, risk: float, before: int = 0) -> tuple[float, float]:
    """Return what theory says about the mean number of audited calls until ``Audit`` finds a drift.

    Args:
        alpha: The certified risk.
        delta: False alarm probability.
        risk: Risk after the drift, above alpha.
        before: Audited calls before the drift.

    Returns:
        The fewest that any test with this false alarm probability can need from its start on
        (``ln(1/delta)`` over the divergence of the two risks, Wald), and the most that ours needs on
        average: Wald's identity for its best single bet, infinite where the drift is too small for any.

    Raises:
        BadInput: A probability that is none, or a risk not above alpha.
    """
    _check_test(alpha, delta)
    check_share("risk", risk)
    if risk <= alpha:
        raise BadInput(f"risk is {risk}; a drift takes it above alpha, {alpha}.")
    divergence = risk * math.log(risk / alpha) + (1.0 - risk) * math.log((1.0 - risk) / (1.0 - alpha))
    rates = np.array(RATES)
    cost = np.log1p(alpha * np.expm1(rates))
    growth = rates * risk - cost
    bar = -math.log(delta) + math.log(len(RATES)) - math.log(start_weight(before + 1))
    needed = np.where(growth > 0.0, (bar + rates - cost) / np.where(growth > 0.0, growth, 1.0), np.inf)
    return -math.log(delta) / divergence, float(needed.min())


def _crossing(n: int, errors: int, between: tuple[float, float], bar: float, *, above: bool) -> float:
    return float(
        brentq(lambda risk: float(log_evidence(n, errors, risk, above=above)) - bar, *between, xtol=1e-10)
    )


def _check_test(alpha: float, delta: float) -> None:
    check_share("alpha", alpha)
    check_share("delta", delta)
