"""The gateway's side of recording: takes exchanges at once and sends them on in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.record.child import Child
from offramp.record.exchange import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.record.exchange import Exchange
    from offramp.record.process import Report, Writer

_log = logging.getLogger("offramp.record")

_WINDOW = 256
_DELAY_S = 0.1


@dataclass(frozen=True, slots=True)
class TapStats:
    """How recording goes.

    Attributes:
        taken: Exchanges taken in.
        written: Of those, stored.
        failed: Of those, lost.
        dropped: Exchanges not taken in: the queue was full, or the recorder is gone for good.
        restarts: How often the recorder process was started again.
        error: The last trouble, "" where there was none.
    """

    taken: int = 0
    written: int = 0
    failed: int = 0
    dropped: int = 0
    restarts: int = 0
    error: str = ""

    @property
    def waiting(self) -> int:
        """Exchanges taken in and neither stored nor lost yet."""
        return self.taken - self.written - self.failed


class Tap:
    """Hands exchanges to the recorder process, which it starts, and starts again where it dies.

    For one event loop. What the dead recorder had not confirmed is sent to its successor, once.

    Args:
        command: Starts the recorder; standard input is its channel (a socket).
        capacity: Most exchanges held; beyond it they are dropped and counted.
        max_bytes: Most bytes held.
        restarts: Restarts in a row, without a confirmed exchange in between, until the tap gives up.
    """

    def __init__(
        self, command: Sequence[str], *, capacity: int = 20_000, max_bytes: int = 1 << 27, restarts: int = 3
    ) -> None:
        self._command = list(command)
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._restarts_allowed = restarts
        self._queue: deque[Exchange] = deque()
        self._sent: deque[Exchange] = deque()
        self._resent: set[str] = set()
        self._held_bytes = 0
        self._taken = self._written = self._failed = self._dropped = self._restarts = 0
        self._row = 0
        self._error = ""
        self._closed = False
        self._wake = asyncio.Event()
        self._flushing: list[tuple[int, asyncio.Future[None]]] = []
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the recorder process and wait until its store is open.

        Raises:
            StorageError: It cannot open its store (WrongKey, SchemaTooNew, ...), or not start at all.
        """
        try:
            self._child = await Child.start(self._command)
        except StorageError as error:
            self._give_up(str(error))
            raise
        self._task = asyncio.create_task(self._run(self._child), name="recorder tap")

    def put(self, exchange: Exchange) -> None:
        """Take an exchange; returns at once, never raises, counts what it cannot take."""
        full = self._waiting >= self._capacity or self._held_bytes + exchange.size > self._max_bytes
        if self._closed or full:
            if not self._dropped:
                _log.warning("Calls go unrecorded: %s", "the recorder is behind" if full else "it has ended")
            self._dropped += 1
            return
        self._taken += 1
        self._held_bytes += exchange.size
        self._queue.append(exchange)
        self._wake.set()

    @property
    def _waiting(self) -> int:
        return len(self._queue) + len(self._sent)

    @property
    def pid(self) -> int | None:
        """Process id of the recorder, None where none runs."""
        return None if self._child is None else self._child.pid

    def stats(self) -> TapStats:
        """Return the counts so far."""
        return TapStats(self._taken, self._written, self._failed, self._dropped, self._restarts, self._error)

    async def flush(self) -> None:
        """Wait until every exchange taken so far is stored or counted as lost."""
        if self._written + self._failed < self._taken:
            done = asyncio.get_running_loop().create_future()
            self._flushing.append((self._taken, done))
            await done

    async def close(self, timeout_s: float = 30.0) -> None:
        """Let the recorder write all it was given, and end it; idempotent.

        Args:
            timeout_s: Seconds until it is killed, and what it has not confirmed counted as lost.
        """
        self._closed = True
        self._wake.set()
        if self._task is None:
            return
        task, self._task = self._task, None
        try:
            await asyncio.wait_for(task, timeout_s)
        except TimeoutError:
            if self._child is not None:
                self._child.kill()
                await self._child.reap()
            self._give_up(f"The recorder did not end within {timeout_s:g} s.")
        self._child = None

    async def _run(self, child: Child | None) -> None:
        """Serve one recorder process after the other."""
        while child is not None:
            self._child = child
            sender = asyncio.create_task(self._send(child), name="recorder sender")
            try:
                await self._receive(child)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
            code = await child.reap()
            if self._closed and not self._waiting:
                return
            child = await self._revive(f"The recorder ended with code {code}.")

    async def _send(self, child: Child) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                while self._queue and len(self._sent) < _WINDOW:
                    await self._send_next(child)
                    await asyncio.sleep(0)  # a backlog must not hold up the traffic
                if self._closed and not self._queue:
                    child.end()
                    return
                self._wake.clear()
                await self._wake.wait()

    async def _send_next(self, child: Child) -> None:
        exchange = self._queue.popleft()
        try:
            pieces = encode(exchange)
        except (TypeError, OverflowError) as error:
            self._held_bytes -= exchange.size
            self._settle(0, 1, f"An exchange could not be sent ({type(error).__name__}).")
            return
        self._sent.append(exchange)
        await child.send(pieces)

    async def _receive(self, child: Child) -> None:
        while (report := await child.report()) is not None:
            for _ in range(min(report.written + report.failed, len(self._sent))):
                exchange = self._sent.popleft()
                self._held_bytes -= exchange.size
                self._resent.discard(exchange.id)
            self._row = 0
            self._wake.set()
            self._settle(report.written, report.failed, report.error)

    async def _revive(self, reason: str) -> Child | None:
        """Start a successor; what its predecessor left unconfirmed goes first, once."""
        _log.error("%s %d calls are unconfirmed", reason, len(self._sent))
        lost = [exchange for exchange in self._sent if exchange.id in self._resent]
        kept = [exchange for exchange in self._sent if exchange.id not in self._resent]
        self._sent.clear()
        self._queue.extendleft(reversed(kept))
        self._resent = {exchange.id for exchange in kept}
        self._held_bytes -= sum(exchange.size for exchange in lost)
        self._settle(0, len(lost), reason)
        while self._row < self._restarts_allowed:
            self._row += 1
            self._restarts += 1
            await asyncio.sleep(_DELAY_S * self._row)
            try:
                return await Child.start(self._command)
            except StorageError as error:
                reason = str(error)
        self._give_up(reason)
        return None

    def _give_up(self, reason: str) -> None:
        """Count everything held as lost, and drop what comes from now on."""
        _log.error("Recording has ended: %s", reason)
        lost = self._waiting
        self._queue.clear()
        self._sent.clear()
        self._held_bytes = 0
        self._closed = True
        self._child = None
        self._settle(0, lost, reason)

    def _settle(self, written: int, failed: int, error: str) -> None:
        self._written += written
        self._failed += failed
        self._error = error or self._error
        settled = self._written + self._failed
        for goal, done in self._flushing:
            if goal <= settled and not done.done():
                done.set_result(None)
        self._flushing = [(goal, done) for goal, done in self._flushing if not done.done()]


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
