"""The recorder process: moves exchanges from the rings of a home into its store."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

from offramp.core.errors import OfframpError, StorageError
from offramp.core.timeslice import shorten
from offramp.record.drain import Drain, Pace
from offramp.record.folder import Claim, abandoned, rings, sweep
from offramp.record.ring import Ring
from offramp.record.writer import Report, Writer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Recorder", "Report", "Writer", "serve"]

_log = logging.getLogger("offramp.record")

# A gateway that wakes must not wait behind masking: at 5 it waited milliseconds (docs/lab-log.md).
_NICENESS = 15
_ADOPT_S = 5.0
_CLAIM_S = 10.0
_BUSY_S = 0.002
_GROUP_S = 0.005
_QUIET_LOOKS = 25
_ALLOCATIONS = 20_000


class Recorder:
    """Drains the ring of its own gateway, and those of gateways that are gone.

    Args:
        writer: Parses and stores.
        folders: Where the home's rings are.
        key: Opens their keys.
        own: The ring of the gateway that started it; None for what was left behind alone.
        pace: Sizes and times.

    Raises:
        StorageError: Its own ring cannot be read.
    """

    def __init__(
        self,
        writer: Writer,
        folders: Sequence[Path],
        key: bytes,
        *,
        own: Path | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._writer = writer
        self._folders = folders
        self._key = key
        self._own = own
        self._pace = pace or Pace()
        self._drains: list[Drain] = []
        self._refused: set[Path] = set()
        self._adopt_at = 0.0
        if own is not None:
            self._drains.append(self._open(own, self._claim(own)))

    def _claim(self, path: Path) -> Claim:
        """Wait for a predecessor that is ending."""
        deadline = time.monotonic() + _CLAIM_S
        while (claim := Claim.take(path)) is None:
            if time.monotonic() > deadline or not path.exists():
                raise StorageError(f"The ring {path} is gone, or another recorder reads it.")
            time.sleep(_GROUP_S)
        return claim

    def _open(self, path: Path, claim: Claim) -> Drain:
        try:
            ring = Ring(path)
            try:
                return Drain(ring, claim, self._key, self._writer, self._pace)
            except BaseException:
                ring.close()
                raise
        except OSError as error:
            claim.release()
            raise StorageError(f"The ring {path} cannot be opened: {error.strerror}.") from error
        except BaseException:
            claim.release()
            raise

    def run(self, channel: socket.socket | None = None) -> None:
        """Record until the channel ends and everything that is left is stored.

        Args:
            channel: Ends when the gateway does; None where there is none from the beginning.
        """
        ended_at = time.monotonic() if channel is None else None
        pause = _BUSY_S
        while True:
            self._adopt()
            moved = [drain.step(hurry=self._orphan(drain, ended_at)) for drain in self._drains]
            self._retire(ended_at)
            if ended_at is not None:
                if any(moved):
                    ended_at = time.monotonic()
                if not self._drains or time.monotonic() - ended_at > self._pace.patience_s:
                    return
            pause = _BUSY_S if any(moved) else min(pause * 2, self._pace.idle_s)
            if self._rest(channel, self._pause_s(pause)) and ended_at is None:
                ended_at, channel = time.monotonic(), None

    def _rest(self, channel: socket.socket | None, pause: float) -> bool:
        """Wait, and go on waiting while there is nothing at all; tell whether the channel has ended."""
        for _ in range(_QUIET_LOOKS):
            if _ends(channel, pause):
                return True
            if pause < self._pace.idle_s or not all(drain.quiet for drain in self._drains):
                break
        return False

    def _orphan(self, drain: Drain, ended_at: float | None) -> bool:
        return ended_at is not None or drain.path != self._own

    def _pause_s(self, pause: float) -> float:
        """Sleep as long as nothing is due; while a group fills, look often, so that little is left to do."""
        if any(drain.behind for drain in self._drains):
            return 0.0
        now = time.monotonic()
        due = [drain.pause_s(now) for drain in self._drains]
        return min([pause, *(min(wait, _GROUP_S) for wait in due if wait is not None)])

    def _adopt(self) -> None:
        """Take over what gateways left that are gone."""
        if time.monotonic() < self._adopt_at:
            return
        self._adopt_at = time.monotonic() + _ADOPT_S
        sweep(self._folders)
        known = {drain.path for drain in self._drains} | self._refused | {self._own}
        for path in rings(self._folders):
            if path in known or not abandoned(path):
                continue
            claim = Claim.take(path)
            if claim is None:
                continue
            try:
                self._drains.append(self._open(path, claim))
            except StorageError as error:
                self._refused.add(path)
                _log.error("A ring that was left behind cannot be read: %s", error)
            else:
                _log.warning("Storing what %s holds; its gateway is gone", path)

    def _retire(self, ended_at: float | None) -> None:
        for drain in [drain for drain in self._drains if self._orphan(drain, ended_at)]:
            # In this order: what came before the gateway's end is seen after it.
            over = drain.ring.taken.read().closed or abandoned(drain.path)
            if over and drain.finished and drain.retire():
                self._drains.remove(drain)

    def close(self) -> None:
        """Leave in the rings what is not stored, and close the store."""
        for drain in self._drains:
            drain.leave()
        self._writer.close()


def _ends(channel: socket.socket | None, pause_s: float) -> bool:
    """Wait; tell whether the channel has ended meanwhile."""
    if channel is None:
        if pause_s > 0.0:
            time.sleep(pause_s)
        return False
    if not select.select([channel], [], [], pause_s)[0]:
        return False
    try:
        return not channel.recv(4096)
    except OSError:
        return True


def serve(channel: socket.socket, open_recorder: Callable[[], Recorder]) -> int:
    """Record until the channel ends; the whole of the recorder process.

    It ends with the stream, not at a signal: Ctrl-C reaches every process of a terminal, and what the
    gateway has put in is still to be written then.

    Args:
        channel: One report goes out, when the store is open or cannot be; its end ends the recorder.
        open_recorder: Opens store and ring; an OfframpError is reported, and ends the process.

    Returns:
        Exit code.
    """
    _settle()
    try:
        recorder = open_recorder()
    except OfframpError as error:
        _send(channel, Report(error=str(error), kind=type(error).__name__))
        return error.exit_code
    collect_seldom()
    try:
        _send(channel, Report(ready=True))
        recorder.run(channel)
    finally:
        recorder.close()
    return 0


def collect_seldom() -> None:
    """Let Python look for cycles seldom: masking makes none, and keeps much to look through."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 50)


def _settle() -> None:
    """Leave signals to the gateway, and the processor to the traffic."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.nice(_NICENESS)
        shorten()


def _send(channel: socket.socket, report: Report) -> None:
    """Report; where the gateway is gone, there is nobody to tell, and still something to write."""
    with contextlib.suppress(OSError):
        channel.sendall(report.encode())
