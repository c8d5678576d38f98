"""Amounts as people read them."""

from __future__ import annotations

from offramp.plan.memory import GIB

_MIB = 2**20


def usd(amount: float) -> str:
    """Money: two digits that matter below a dollar, cents up to a hundred, whole dollars above."""
    if amount and abs(amount) < 1:
        return f"{amount:.2g} USD"
    return f"{amount:,.2f} USD" if abs(amount) < 100 else f"{amount:,.0f} USD"


def count(number: float) -> str:
    """A whole number with thousands separated."""
    return f"{number:,.0f}"


def size(amount: float) -> str:
    """Bytes in GiB, in MiB below a tenth of one."""
    return f"{amount / GIB:.1f} GiB" if amount >= GIB / 10 else f"{amount / _MIB:.0f} MiB"


def adapters(number: int) -> str:
    """So many adapters."""
    return f"{number} adapter{'' if number == 1 else 's'}"


def devices(number: int) -> str:
    """So many devices."""
    return f"{number} device{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %"
