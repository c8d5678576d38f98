"""The exact binomial interval, for counts that come without one."""

from __future__ import annotations

from scipy.special import betaincinv

from offramp.core.errors import BadInput


def clopper_pearson(errors: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of Clopper and Pearson (1934) for ``errors`` of ``n`` independent calls.

    Raises:
        BadInput: ``errors`` is below 0 or above ``n``, or ``n`` is below 1.
    """
    if not 0 <= errors <= n or n < 1:
        raise BadInput(
            f"An interval of {errors} errors in {n} calls was asked for; 0 <= errors <= n is needed."
        )
    tail = (1 - confidence) / 2
    low = 0.0 if errors == 0 else float(betaincinv(errors, n - errors + 1, tail))
    high = 1.0 if errors == n else float(betaincinv(errors + 1, n - errors, 1 - tail))
    return low, high
