"""A periodic timer that is finer than an event loop's own."""

from __future__ import annotations

import ctypes
import os
import sys
import time


class Timer:
    """A periodic timer of the kernel with a file descriptor (Linux ``timerfd``).

    Args:
        period: Seconds between expirations.
    """

    _NONBLOCK = 0o4000

    def __init__(self, period: float) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = libc.timerfd_create(time.CLOCK_MONOTONIC, self._NONBLOCK)
        pair = (int(period), int(period % 1 * 1e9))
        setting = (ctypes.c_long * 4)(*pair, *pair)
        self.started = time.perf_counter()
        if self.descriptor < 0 or libc.timerfd_settime(self.descriptor, 0, setting, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd")

    def expired(self) -> int:
        """Return how often it expired since the last time it was asked."""
        try:
            return int.from_bytes(os.read(self.descriptor, 8), sys.byteorder)
        except BlockingIOError:
            return 0
