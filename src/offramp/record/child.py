"""The gateway's end of the channel to the recorder process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from offramp.core import errors
from offramp.core.errors import StorageError
from offramp.record.exchange import LENGTH
from offramp.record.process import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

_START_S = 30.0


class Child:
    """A running recorder process; its standard input is the channel, in both directions."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, command: Sequence[str]) -> Child:
        """Start the process and wait until its store is open.

        Raises:
            StorageError: It could not start, or cannot open its store (WrongKey, SchemaTooNew, ...).
        """
        ours, theirs = socket.socketpair()
        try:
            # A session of its own: Ctrl-C reaches the terminal's foreground processes, and this one has
            # to outlive the gateway until all is written.
            process = await asyncio.create_subprocess_exec(
                *command, stdin=theirs.fileno(), start_new_session=True
            )
        except OSError as error:
            ours.close()
            raise StorageError(f"The recorder {command[0]} cannot be started: {error.strerror}.") from error
        finally:
            theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        child = cls(process, reader, writer)
        await child._await_ready()
        return child

    async def _await_ready(self) -> None:
        try:
            report = await asyncio.wait_for(self.report(), _START_S)
        except TimeoutError:
            report = Report(error=f"The recorder was not ready within {_START_S:.0f} s.")
        if report is not None and report.ready:
            return
        self.kill()
        code = await self.reap()
        if report is None:
            raise StorageError(f"The recorder ended with code {code} before it was ready.")
        raise _error(report)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def send(self, pieces: Sequence[bytes]) -> None:
        """Send a frame; waits while the recorder is behind.

        Raises:
            ConnectionError: The recorder is gone.
        """
        self._writer.writelines(pieces)
        await self._writer.drain()

    def end(self) -> None:
        """Tell the recorder that nothing more comes."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def report(self) -> Report | None:
        """Return the next report, None where the recorder is gone, or talks nonsense."""
        try:
            (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            return Report.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError, TypeError, ValueError):
            return None

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def reap(self) -> int:
        """Close the channel, wait for the end of the process and return its exit code."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        return await self._process.wait()


def _error(report: Report) -> StorageError:
    """Raise in the gateway what was raised in the recorder."""
    kind = getattr(errors, report.kind, StorageError)
    return kind(report.error) if issubclass(kind, StorageError) else StorageError(report.error)
