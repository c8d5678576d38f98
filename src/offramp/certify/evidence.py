"""Evidence that may be looked at after every call: a mixture e-process and a confidence sequence.

Both are betting games (Waudby-Smith and Ramdas, arXiv 2010.09686; Howard, Ramdas, McAuliffe and Sekhon,
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
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import brentq

from offramp.certify.bounds import check_share
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from offramp.certify.units import Floats

RATES: Final = tuple(2.0 ** (half / 2.0) for half in range(-8, 7))
"""Betting rates, 1/16 to 8 in steps of the square root of 2: log odds ratios that are bet on."""


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
    return np.asarray(np.logaddexp.reduce(values, axis=-1) - math.log(len(RATES)), dtype=np.float64)


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


def _crossing(n: int, errors: int, between: tuple[float, float], bar: float, *, above: bool) -> float:
    return float(
        brentq(lambda risk: float(log_evidence(n, errors, risk, above=above)) - bar, *between, xtol=1e-10)
    )
