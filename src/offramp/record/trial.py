"""Try in a process of its own what may end the process."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_S = 30.0
_STEP_S = 0.005
_FIRST_FILE, _LAST_FILE = 3, 1 << 16
_OUT_OF_MEMORY_FIRST = "1000"


def survives(act: Callable[[], object], *, longest_s: float = _LONGEST_S) -> bool:
    """Do something in a forked process, and tell whether it came out alive, whatever it returned or raised.

    Args:
        act: What to do; nothing of it reaches this process.
        longest_s: Seconds after which it is ended; it is tried once more, and then counts as dead.
    """
    # Twice: a fork beside another thread may hang for reasons that are not the act's.
    for _ in range(2):
        code = _fork(act, longest_s)
        if code is not None:
            return code == 0
    return False


def _fork(act: Callable[[], object], longest_s: float) -> int | None:
    child = os.fork()
    if child == 0:
        _act(act)
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_STEP_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _act(act: Callable[[], object]) -> None:
    try:
        # Locks must not outlive the process that this one is a copy of.
        os.closerange(_FIRST_FILE, _LAST_FILE)
        # Where memory runs out, it is this process that goes.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_FIRST, encoding="ascii")
        with contextlib.suppress(Exception):
            act()
    finally:
        os._exit(0)
