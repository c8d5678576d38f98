"""Memory that the C library keeps after it was freed: given back to the system."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def give_back_heap() -> bool:
    """Give back what was freed; takes less than a millisecond.

    Returns:
        Whether there was anything, False too where the C library has no such function (it is glibc's).
    """
    trim = _trim()
    return trim is not None and bool(trim(0))


@cache
def _trim() -> Callable[[int], int] | None:
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
