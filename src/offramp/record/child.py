"""The gateway's hold on the recorder process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from offramp.core import errors
from offramp.core.errors import StorageError
from offramp.record.writer import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

_START_S = 30.0


class Child:
    """A running recorder process; its standard input is a channel that ends when the gateway does."""

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
        try:
            await child._await_ready()
        except BaseException:
            child.kill()
            await child.ended()
            raise
        return child

    async def _await_ready(self) -> None:
        try:
            line = await asyncio.wait_for(self._reader.readline(), _START_S)
        except TimeoutError:
            raise StorageError(f"The recorder was not ready within {_START_S:.0f} s.") from None
        except ConnectionError:
            line = b""
        try:
            report = Report.decode(line)
        except ValueError:
            self.kill()
            code = await self.ended()
            raise StorageError(f"The recorder ended with code {code} before it was ready.") from None
        if not report.ready:
            raise _error(report)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def end(self) -> None:
        """Tell the recorder that nothing more comes."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> int:
        """Wait for the end of the process and return its exit code."""
        code = await self._process.wait()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        return code


def _error(report: Report) -> StorageError:
    """Raise in the gateway what was raised in the recorder."""
    kind = getattr(errors, report.kind, StorageError)
    return kind(report.error) if issubclass(kind, StorageError) else StorageError(report.error)
