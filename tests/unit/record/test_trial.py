from __future__ import annotations

import os
import signal
import time

from offramp.record.trial import survives


def fail() -> None:
    raise RuntimeError


def test_what_returns_or_raises_survives() -> None:
    assert survives(lambda: None)
    assert survives(fail)


def test_what_ends_its_process_does_not() -> None:
    assert not survives(lambda: os.kill(os.getpid(), signal.SIGSEGV))
    assert not survives(lambda: os._exit(9))


def test_what_never_returns_does_not() -> None:
    assert not survives(lambda: time.sleep(60), longest_s=0.02)


def test_nothing_of_it_reaches_this_process() -> None:
    here: list[int] = []
    assert survives(lambda: here.append(1))
    assert here == []
