"""The gateway's side of the worker: ask, and get a proposal or an `EngineError`, in bounded time."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import orjson

from offramp.core.decision import Proposal
from offramp.core.errors import EngineError
from offramp.engine.worker import MAX_LINE, decode_answer

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject


log = logging.getLogger(__name__)


class RemoteSpecialists:
    """A connection to a worker; reconnects by itself when the worker comes back.

    Args:
        path: The worker's Unix socket.
        timeout_s: Longest wait for one proposal; beyond it the call defers.
    """

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._numbers = itertools.count()
        self._pending: dict[int, asyncio.Future[JsonObject]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, specialist: str, task: str, request: JsonObject) -> Proposal:
        """Ask one specialist about one request.

        Raises:
            EngineError: The worker is not there, refused, or took too long.
        """
        writer = await self._connected()
        number = next(self._numbers)
        reply: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._pending[number] = reply
        question = {"id": number, "specialist": specialist, "task": task, "request": request}
        try:
            writer.write(orjson.dumps(question) + b"\n")
            message = await asyncio.wait_for(reply, self._timeout_s)
        except TimeoutError as error:
            raise EngineError(f"No proposal within {self._timeout_s} s.", hint="The call defers.") from error
        finally:
            self._pending.pop(number, None)
        if "error" in message:
            raise EngineError(str(message["error"]))
        return Proposal(decode_answer(message["answer"]), float(message["confidence"]))

    async def close(self) -> None:
        """Close the connection; idempotent."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_LINE)
            except OSError as error:
                raise EngineError(f"The worker at {self._path} is not there: {error}.") from error
            self._writer = writer
            self._reading = asyncio.create_task(self._read(reader, writer))
            return writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                message = orjson.loads(line)
                reply = self._pending.get(message["id"])
                if reply is not None and not reply.done():
                    reply.set_result(message)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("The worker's connection broke: %s", error)
        finally:
            # However it ended: nobody waits for answers that cannot come.
            writer.close()
            for reply in self._pending.values():
                if not reply.done():
                    reply.set_exception(EngineError("The worker went away.", hint="The call defers."))
