"""A test of a risk per call on whole sessions, by bets that aim at a fixed number of sessions.

Of session s, ``a_s`` calls are answered and ``k_s`` of those disagree. The risk per call is
``E[k] / E[a]``, and it is at least alpha exactly where the *gain* ``alpha a_s - k_s`` has a mean of at most
0, whatever the calls of a session have to do with each other. A gain is at least ``-(1 - alpha) L`` where a
session counts as at most L calls, so wealth that starts at 1 and is multiplied by ``1 + bet * gain``, each
bet fixed before its session is seen and below ``1 / ((1 - alpha) L)``, stays positive and has a mean of at
most 1 under H0: risk >= alpha. By Ville's inequality it ever reaches 1/delta with probability at most delta
(Waudby-Smith and Ramdas, arXiv 2010.09686). It takes independent sessions, nothing of the calls within.

L must be fixed without the sessions that are bet on. Their longest length would not do: where long sessions
are the bad ones, not having met one would raise the bets on exactly the samples that flatter.

Any bets are valid; good ones know how many sessions are left (STaR-Bets, Voracek and Orabona, arXiv
2505.22422). Ours replicate the most powerful test of independent errors: the present wealth is read as the
price of an all-or-nothing payment of 1/delta, to be made if the errors still to come (Poisson, in clumps of
the size that the gains' variance shows) stay within a budget, and the bet is the one that hedges that
payment. ``bench/certify`` sets its power beside that of the exact binomial test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import log_ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from offramp.certify.units import Bools, Floats

_MARGIN: Final = 0.999
"""Share of the largest bet that is ever made: wealth stays above 0."""
_TRUST: Final = 30.0
"""Sessions that what was expected weighs against what is seen."""
_BLOCKS: Final = 100
"""Bets are adapted after this part of the sessions that are left."""
_STEPS: Final = 6
_TINY: Final = 1e-12
_RISKS: Final = np.geomspace(1.0, 1e-3, 121)[1:]
"""Risks that an upper bound may be, falling by 6 % a step."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What validation calls say about a session; it decides how good the bets are, never whether they hold.

    Attributes:
        answered: Mean number of answered calls of a session, shape (...).
        clump: Variance of a session's gain over that of as many independent calls, shape (...).
    """

    answered: Floats
    clump: Floats

    def at(self, thresholds: slice) -> Expected:
        """Return what is expected at some of the thresholds, where the shape is (t,)."""
        return Expected(self.answered[thresholds], self.clump[thresholds])


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """Answered calls and disagreements of each session, in an order that was fixed without them.

    Attributes:
        answered: Shape (..., n), each at most ``longest``.
        errors: Shape (..., n), at most ``answered``.
        longest: What a session counts as at most; fixed before these sessions are seen.
    """

    answered: Floats
    errors: Floats
    longest: float


def log_wealth(counts: SessionCounts, expected: Expected, alpha: ArrayLike, delta: float) -> Floats:
    """Return the log of the largest wealth reached against H0: risk >= alpha.

    Betting stops at ``1 / delta``: rejected exactly where the result is ``-log(delta)``.

    Args:
        counts: Sessions; the leading shape is one test each.
        expected: Of the same leading shape.
        alpha: The risk, of a shape that broadcasts with it.
        delta: Probability of rejecting a risk of alpha or more, at most.

    Returns:
        The leading shape.
    """
    risk = np.asarray(alpha, dtype=np.float64)
    sessions, bar = counts.answered.shape[-1], -float(np.log(delta))
    shape = np.broadcast_shapes(counts.answered.shape[:-1], risk.shape)
    largest = _MARGIN / ((1.0 - risk) * counts.longest)
    wealth, peak = np.zeros(shape), np.zeros(shape)
    spread = _TRUST * expected.clump * risk * (1.0 - risk) * expected.answered
    mass, at = _TRUST * expected.answered, 0
    while at < sessions and not bool(np.all(peak >= bar)):
        left, trust = sessions - at, _TRUST + at
        block = slice(at, at + max(1, left // _BLOCKS))
        mean, variance = np.maximum(mass / trust, 1e-9), np.maximum(spread / trust, 1e-12)
        # Errors come in clumps; a clump of less than a third of an error would bet wildly.
        clump = np.maximum(variance / (risk * mean), 1.0 / 3.0)
        bet = np.minimum(_hedge(wealth - bar, left * risk * mean / clump) / clump, largest)
        answered, errors = counts.answered[..., block], counts.errors[..., block]
        gain = risk[..., None] * answered - errors
        path = wealth[..., None] + np.cumsum(np.log1p(bet[..., None] * gain), axis=-1)
        peak = np.maximum(peak, np.minimum(path.max(axis=-1), bar))
        wealth = np.where(peak >= bar, bar, path[..., -1])
        spread, mass = spread + np.square(gain).sum(axis=-1), mass + answered.sum(axis=-1)
        at = block.stop
    return np.asarray(peak, dtype=np.float64)


def rejects(counts: SessionCounts, expected: Expected, alpha: ArrayLike, delta: float) -> Bools:
    """Return where H0: risk >= alpha is rejected at delta, of the leading shape."""
    wealth = log_wealth(counts, expected, alpha, delta)
    return np.asarray(wealth >= -np.log(delta) - _TINY, dtype=np.bool_)


def risk_upper(counts: SessionCounts, expected: Expected, delta: float, alpha: float) -> float:
    """Return an upper bound on the risk per call of one threshold, at confidence ``1 - delta``.

    Risks are tested from large to small until one is not rejected, which is a fixed sequence: the bound is
    too low only if the first of them that is below the true risk is rejected. Where alpha is rejected, the
    sequence starts there, so that the bound is at most alpha exactly where alpha is certified. Where it is
    not, the sequence starts at 1 and ends above alpha; that bound tells how far off a refused threshold is.

    Args:
        counts: Sessions of one threshold, shape (n,).
        expected: Of that threshold, shape ().
        delta: Probability of the bound being too low.
        alpha: The risk that is to be certified.
    """
    flat = SessionCounts(counts.answered[None, :], counts.errors[None, :], counts.longest)
    certified = bool(rejects(flat, expected, np.array([alpha]), delta)[0])
    below = np.less(_RISKS, alpha)
    tried = _RISKS[below] if certified else _RISKS[~below & (alpha != _RISKS)]
    passed = rejects(flat, expected, tried, delta)
    passes = len(tried) if bool(passed.all()) else int(np.argmin(passed))
    return float(tried[passes - 1]) if passes else (alpha if certified else 1.0)


def forecast(n: ArrayLike, risk: Floats, expected: Expected, alpha: float, longest: float) -> Floats:
    """Forecast the p-value that sessions will give, for choosing thresholds on validation calls.

    The normal tail of the expected gain over its spread, or what the largest bet wins where a larger one
    were needed.

    Args:
        n: Sessions there will be, of a shape that broadcasts with (t,).
        risk: Expected risk at each threshold, shape (t,).
        expected: Of each threshold, shape (t,).
        alpha: The risk to certify.
        longest: What a session counts as at most.
    """
    root = np.sqrt(np.asarray(n, dtype=np.float64))
    mean = expected.answered * (alpha - risk)
    # Between the variance if the risk is as expected and that if it were alpha: the tail is skewed.
    level = np.sqrt(np.maximum(risk, 1e-9) * alpha)
    spread = np.sqrt(np.maximum(expected.clump * level * (1.0 - level) * expected.answered, 1e-12))
    z = root * mean / spread
    hardest = _MARGIN / ((1.0 - alpha) * longest) * root * spread
    within = np.minimum(z, hardest)
    # A hedge wins more than its bets' mean growth; the less, the smaller its bets.
    hedged = -log_ndtr(-within) - 0.5 * within**2
    share = np.where(z > hardest, hardest**2 / (1.0 + hardest**2), 1.0)
    won = np.where(z > hardest, hardest * z - 0.5 * hardest**2, 0.5 * z**2) + share * hedged
    return np.asarray(np.where(z > 0.0, np.minimum(np.exp(-won), 1.0), 1.0), dtype=np.float64)


def _hedge(log_price: Floats, mean: Floats) -> Floats:
    """Return P(N = c) / P(N <= c) of a Poisson N at the budget c whose P(N <= c) is the price.

    By the cube-root normal form of the chi-squared distribution (Wilson and Hilferty 1931), which holds
    for fractional budgets and is right to a few per cent from a mean of 2.
    """
    price = np.clip(np.exp(log_price), 1e-12, 1.0 - 1e-9)
    z = -ndtri(price)
    rate = np.maximum(mean, 1e-6)
    log_size = np.log(np.maximum(rate - z * np.sqrt(rate) + 0.5, 0.3))
    for _ in range(_STEPS):
        size = np.exp(log_size)
        ratio, root = np.cbrt(rate / size), np.sqrt(size)
        off = 3.0 * root * (ratio - 1.0 + 1.0 / (9.0 * size)) - z
        slope = 3.0 * root * (0.5 * (ratio - 1.0) - ratio / 3.0 - 1.0 / (18.0 * size))
        step = np.clip(off / np.minimum(slope, -1e-6), -1.5, 1.5)
        log_size = np.maximum(log_size - step, np.log(0.2))
    size = np.exp(log_size)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.asarray(density / price * np.cbrt(size / rate) ** 2 / np.sqrt(size), dtype=np.float64)
