"""The process that holds the specialists: its start, its replacement, its end."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.engine.remote import RemoteSpecialists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.decision import Proposal
    from offramp.core.json import JsonObject

WORKER_START_S = 120.0
PROPOSAL_TIMEOUT_S = 10.0


class WorkerProcess:
    """The worker process and the connection to it.

    Args:
        command: Starts it; the socket and the specialists' ids are appended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._folder = tempfile.TemporaryDirectory(prefix="offramp-")
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._remote: RemoteSpecialists | None = None
        self._names: frozenset[str] = frozenset()

    @property
    def open(self) -> frozenset[str]:
        """Ids of the specialists that the present worker serves; none where it has died."""
        alive = self._process is not None and self._process.returncode is None
        return self._names if alive else frozenset()

    async def ask(self, specialist: str, task: str, request: JsonObject) -> Proposal:
        """Ask the present worker.

        Raises:
            EngineError: There is none, or it gave no proposal.
        """
        if self._remote is None:
            raise EngineError("No worker runs.", hint="The call defers.")
        return await self._remote.ask(specialist, task, request)

    async def replace(self, names: Sequence[str]) -> None:
        """Start a worker with these specialists, switch to it, end the one before.

        Raises:
            EngineError: The new one did not get ready; the old one goes on.
        """
        self._starts += 1
        path = Path(self._folder.name) / f"worker-{self._starts}"
        # Its standard input ends when this process does, however that comes about; so does the worker.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "--socket",
            str(path),
            *names,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            await _await_ready(process, names)
        except BaseException:
            await _end(process)
            raise
        before = (self._process, self._remote)
        self._process, self._remote = process, RemoteSpecialists(path, timeout_s=PROPOSAL_TIMEOUT_S)
        self._names = frozenset(names)
        await _discard(*before)

    async def stop(self) -> None:
        """End the worker."""
        await _discard(self._process, self._remote)
        self._process = self._remote = None
        self._folder.cleanup()


async def _await_ready(process: asyncio.subprocess.Process, names: Sequence[str]) -> None:
    assert process.stdout is not None
    try:
        ready = await asyncio.wait_for(process.stdout.readline(), WORKER_START_S)
    except TimeoutError:
        ready = b""
    if ready.strip() != b"ready":
        raise EngineError(f"The worker for {', '.join(names)} did not get ready.")


async def _discard(process: asyncio.subprocess.Process | None, remote: RemoteSpecialists | None) -> None:
    if remote is not None:
        await remote.close()
    if process is not None:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
