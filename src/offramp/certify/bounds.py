"""Exact binomial bounds on a risk that was counted on independent units.

Clopper and Pearson (1934): the bounds are beta quantiles, exact for every sample size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import betainc, betaincinv

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from offramp.certify.units import Floats

_LARGEST: Final = 10**9
"""No count of calls beyond this is worth telling."""


def p_values(n: ArrayLike, errors: ArrayLike, alpha: float) -> Floats:
    """Return P(Bin(n, alpha) <= errors) element by element: the p-value of H0: risk >= alpha.

    Args:
        n: Units that were answered, shape (m,); 0 gives 1.
        errors: Of those, disagreements, shape (m,). Fractions are interpolated (incomplete beta).
        alpha: The risk to be ruled out, between 0 and 1.

    Returns:
        Shape (m,), each in 0 to 1.
    """
    check_share("alpha", alpha)
    units, wrong = np.asarray(n, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    right = np.maximum(units - wrong, 0.0)
    safe = np.where(right > 0.0, right, 1.0)
    values = betainc(safe, wrong + 1.0, 1.0 - alpha)
    return np.asarray(np.where(right > 0.0, values, 1.0), dtype=np.float64)


def p_value(n: int, errors: int, alpha: float) -> float:
    """Return P(Bin(n, alpha) <= errors) for one count.

    Raises:
        BadInput: Not ``0 <= errors <= n``, or alpha outside 0 to 1.
    """
    _check_counts(n, errors)
    return float(p_values(n, errors, alpha))


def upper(n: int, errors: int, delta: float) -> float:
    """Return the one-sided Clopper-Pearson upper bound on the risk at confidence ``1 - delta``.

    It is at most alpha exactly where ``p_value(n, errors, alpha) <= delta``. No units: 1.

    Raises:
        BadInput: Not ``0 <= errors <= n``, or delta outside 0 to 1.
    """
    _check_counts(n, errors)
    check_share("delta", delta)
    return 1.0 if errors == n else float(betaincinv(errors + 1.0, n - errors, 1.0 - delta))


def lower(n: int, errors: int, delta: float) -> float:
    """Return the one-sided Clopper-Pearson lower bound on the risk at confidence ``1 - delta``.

    Raises:
        BadInput: Not ``0 <= errors <= n``, or delta outside 0 to 1.
    """
    _check_counts(n, errors)
    check_share("delta", delta)
    return 0.0 if errors == 0 else float(betaincinv(errors, n - errors + 1.0, delta))


def interval(n: int, errors: int, delta: float) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval at confidence ``1 - delta``.

    Raises:
        BadInput: Not ``0 <= errors <= n``, or delta outside 0 to 1.
    """
    return lower(n, errors, delta / 2.0), upper(n, errors, delta / 2.0)


def calls_for(alpha: float, delta: float, errors: int = 0) -> int:
    """Return the fewest answered units with which ``errors`` disagreements still certify alpha.

    59, 149 and 299 for alpha 5, 2 and 1 % at delta 5 % and no errors.

    Raises:
        BadInput: Negative errors, or alpha or delta outside 0 to 1.
    """
    check_share("delta", delta)
    if errors < 0:
        raise BadInput(f"errors is {errors}; it must be 0 or more.")
    return _bisect(lambda n: float(p_values(n, errors, alpha)) <= delta, errors)


def calls_at_rate(alpha: float, delta: float, rate: float) -> int | None:
    """Return about how many answered units certify alpha if a share ``rate`` of them keeps disagreeing.

    Args:
        alpha: The risk to certify.
        delta: Probability of being wrong.
        rate: Present risk, 0 to 1.

    Returns:
        The count (errors taken as ``rate * n``, interpolated), or None where ``rate`` is not below
        alpha, or so near that a thousand million units would not do.
    """
    check_share("alpha", alpha)
    check_share("delta", delta)
    if rate >= alpha or float(p_values(_LARGEST, rate * _LARGEST, alpha)) > delta:
        return None
    return _bisect(lambda n: float(p_values(n, rate * n, alpha)) <= delta, 0)


def attainable_alpha(alpha: float, self_agreement: float | None, slack: float = 0.01) -> float:
    """Return the alpha that can be asked for at all: ``max(alpha, 1 - self_agreement + slack)``.

    Nobody agrees with a noisy teacher more often than the teacher itself does.

    Args:
        alpha: What the user asked for.
        self_agreement: Share of repeated calls on which the teacher agrees with itself; None: unknown.
        slack: What a specialist may lose on top.

    Returns:
        The larger of the two, at most 0.99.
    """
    return alpha if self_agreement is None else min(max(alpha, 1.0 - self_agreement + slack), 0.99)


def check_share(name: str, value: float) -> None:
    """Refuse a probability that is not strictly between 0 and 1.

    Raises:
        BadInput: It is not.
    """
    if not (math.isfinite(value) and 0.0 < value < 1.0):
        raise BadInput(f"{name} is {value}; it must be above 0 and below 1.")


def _check_counts(n: int, errors: int) -> None:
    if not 0 <= errors <= n:
        raise BadInput(f"errors is {errors} of {n} units; it must be 0 or more, and at most the units.")


def _bisect(enough: Callable[[int], bool], floor: int) -> int:
    """Return the smallest count above ``floor`` that is enough; monotone in the count."""
    short, high = floor, floor + 1
    while not enough(high):
        short, high = high, 2 * high
    while high - short > 1:
        middle = (short + high) // 2
        short, high = (short, middle) if enough(middle) else (middle, high)
    return high
