"""The gateway's side of recording: takes exchanges at once, and sees to it that a recorder stores them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.record.child import Child
from offramp.record.stats import TapStats, stats_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.record.exchange import Exchange
    from offramp.record.journal import Journal
    from offramp.record.writer import Report, Writer

__all__ = ["DirectTap", "Tap", "TapStats"]

_log = logging.getLogger("offramp.record")

_PAUSE_S, _PAUSE_MOST_S = 0.1, 15.0
_LOOK_S = 0.005
_TRIM_S = 2.0


class Tap:
    """Puts exchanges into the ring, and keeps a recorder process going that stores them.

    For one event loop. Whatever was put in survives the end of both processes: it stays in the ring, and the
    next recorder of the home stores it.

    Args:
        command: Starts the recorder; the ring's path follows as ``--ring``, its standard input is a socket.
        open_journal: Makes the ring, when the tap starts.
    """

    def __init__(self, command: Sequence[str], open_journal: Callable[[], Journal]) -> None:
        self._command = list(command)
        self._open_journal = open_journal
        self._journal: Journal | None = None
        self._last = TapStats()
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._restarts = 0

    async def start(self) -> None:
        """Make the ring, start the recorder process and wait until its store is open.

        Raises:
            StorageError: There is no room for the ring, or the recorder cannot open its store (WrongKey,
                SchemaTooNew, ...), or not start at all.
        """
        journal = self._open_journal()
        self._command += ["--ring", str(journal.ring.path)]
        try:
            self._child = await Child.start(self._command)
        except BaseException as error:
            journal.discard()
            self._last = replace(self._last, error=str(error), stalled=True)
            raise
        self._journal = journal
        self._supervisor = asyncio.create_task(self._supervise(self._child), name="recorder")

    def put(self, exchange: Exchange) -> None:
        """Take an exchange; returns at once, never raises, counts what it cannot take."""
        if self._journal is None:
            self._last = replace(self._last, dropped=self._last.dropped + 1)
            return
        self._journal.put(exchange)

    @property
    def pid(self) -> int | None:
        """Process id of the recorder, None where none runs."""
        return None if self._child is None else self._child.pid

    def stats(self) -> TapStats:
        """Return the counts so far."""
        return self._last if self._journal is None else stats_of(self._journal.ring)

    async def flush(self) -> None:
        """Wait until every exchange taken so far is stored or counted as lost; for as long as that takes."""
        goal = self.stats().taken
        while goal > self._settled() and self._journal is not None:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(_LOOK_S)

    async def close(self, timeout_s: float = 30.0) -> None:
        """Let the recorder store all it was given, and end it; idempotent.

        Args:
            timeout_s: Seconds until it is killed. What is not stored by then stays in the ring for the next
                start.
        """
        journal, supervisor = self._journal, self._supervisor
        if journal is None or supervisor is None:
            return
        journal.end()
        self._closing.set()
        if self._child is not None:
            self._child.end()
        try:
            await asyncio.wait_for(supervisor, timeout_s)
        except TimeoutError:
            journal.note(restarts=self._restarts, down=True, error=f"It did not end within {timeout_s:g} s.")
            if self._child is not None:
                self._child.kill()
                await self._child.ended()
        self._child = self._supervisor = self._journal = None
        self._last = stats_of(journal.ring)
        journal.close()
        if self._last.waiting:
            _log.warning("%d calls stay in the ring until the next start", self._last.waiting)

    async def _supervise(self, child: Child) -> None:
        """Start one recorder after the other, until the tap closes and the ring is empty."""
        assert self._journal is not None
        journal, pause = self._journal, _PAUSE_S
        while True:
            started, settled = time.monotonic(), self._settled()
            code = await self._end_of(child)
            self._child = None
            if self._closing.is_set() and not self.stats().waiting:
                return
            if self._settled() > settled or time.monotonic() - started > _PAUSE_MOST_S:
                pause = _PAUSE_S
            error = f"The recorder ended with code {code}."
            _log.error("%s It is started again; what it had not stored is in the ring", error)
            started_again = None
            while started_again is None:
                self._restarts += 1
                journal.note(restarts=self._restarts, down=True, error=error)
                await self._pause(pause)
                pause = min(pause * 2, _PAUSE_MOST_S)
                try:
                    started_again = await Child.start(self._command)
                except StorageError as failure:
                    error = str(failure)
                    _log.error("The recorder does not start: %s", error)
            self._child = child = started_again
            journal.note(restarts=self._restarts, down=False)
            if self._closing.is_set():
                child.end()

    def _settled(self) -> int:
        now = self.stats()
        return now.written + now.failed

    async def _end_of(self, child: Child) -> int:
        """Wait for the end of a recorder; meanwhile, memory that a backlog took is given back."""
        assert self._journal is not None
        ending = asyncio.ensure_future(child.ended())
        try:
            while not (await asyncio.wait([ending], timeout=_TRIM_S))[0]:
                self._journal.trim()
            return await ending
        finally:
            ending.cancel()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for a tap that closes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
            # The cause may still be there: a tap that closes tries on, but not in a circle.
            await asyncio.sleep(min(seconds, 1.0))


class DirectTap:
    """Writes every exchange at once, in the caller's own process: for imports and tests.

    Args:
        writer: Stores exchanges.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._taken = self._written = self._failed = 0
        self._error = ""

    def put(self, exchange: Exchange) -> None:
        """Store an exchange; a failure is counted."""
        report: Report = self._writer.write([exchange])
        self._taken += 1
        self._written += report.written
        self._failed += report.failed
        self._error = report.error or self._error

    def stats(self) -> TapStats:
        """Return the counts so far."""
        return TapStats(self._taken, self._written, self._failed, error=self._error)
