"""Anytime-valid tests of a specialist in service: promotion, audit, and the state of both.

The caller keeps two things: only uniformly audited calls enter, and at most one per session; see
``evidence``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from offramp.certify.bounds import check_share
from offramp.certify.evidence import RATES, confidence_sequence, log_evidence
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.certify.units import Bools, Floats
    from offramp.core.json import JsonObject

_START_MASS: Final = 2.10974280123689
"""Sum of 1 / (n ln(n)^2) over n = 2, 3, ..."""


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


class RiskMonitor:
    """The audit of one live specialist, as whoever routes its calls needs it.

    Args:
        alpha: The certified risk.
        delta: Probability of ever rejecting a specialist whose risk never exceeds alpha.
        audit: State to go on from, see ``Audit.to_dict``.
    """

    def __init__(self, alpha: float, delta: float, audit: Audit | None = None) -> None:
        self._audit = audit or Audit(alpha, delta)

    @property
    def audit(self) -> Audit:
        """The state, to be stored."""
        return self._audit

    @property
    def rejected(self) -> bool:
        """Whether the risk is above alpha: roll back."""
        return self._audit.reached

    @property
    def interval(self) -> tuple[float, float]:
        """Confidence sequence for the live risk, at ``1 - delta``."""
        return confidence_sequence(self._audit.n, self._audit.errors, self._audit.delta)

    def update(self, loss: float, /) -> None:
        """Take in one audited call: 1.0 where the answer disagreed with the teacher's, else 0.0."""
        self._audit = self._audit.observe(loss=loss > 0.0)


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
    running = np.logaddexp.reduce(logs, axis=-1) - math.log(len(RATES))
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


def _check_test(alpha: float, delta: float) -> None:
    check_share("alpha", alpha)
    check_share("delta", delta)
