"""Asking a language model over HTTP from code that waits: the chat port of the engine, on an upstream."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from offramp.core.errors import OfframpError, UpstreamError
from offramp.upstream.port import header_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from offramp.core.json import JsonObject
    from offramp.upstream.port import Upstream, UpstreamResponse

AT_ONCE = 8
"""Requests in flight at most: providers refuse crowds."""

TRIES = 4
"""Times that a request is sent where the provider asks for patience."""

LONGEST_PAUSE_S = 20.0

_PATIENCE = frozenset({429, 503})
_OK = 200
_HEADERS = ((b"content-type", b"application/json"), (b"accept", b"application/json"))
_SHOWN = 300


class HttpChat:
    """A server of chat completions; its requests run in a thread of their own.

    Args:
        upstream: Opens the way to the server, with its credential; called in that thread, on first use.
        pause: Waits for some seconds.
    """

    def __init__(
        self, upstream: Callable[[], Upstream], *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._open = upstream
        self._pause = pause
        self._upstream: Upstream | None = None

    def ask(self, requests: Sequence[JsonObject]) -> list[JsonObject | OfframpError]:
        """Ask all, some at a time; see `offramp.engine.chat.Chat.ask`."""
        try:
            return asyncio.run_coroutine_threadsafe(self._all(requests), self._loop).result()
        except CancelledError:
            return [UpstreamError("The way to the model was closed while it was asked.")] * len(requests)

    def close(self) -> None:
        """Close the connections and end the thread; idempotent. What is under way comes to nothing."""
        if "_loop" not in self.__dict__:
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        del self.__dict__["_loop"]

    async def _end(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._upstream is not None:
            await self._upstream.aclose()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()

        def run() -> None:
            loop.run_forever()
            loop.close()

        threading.Thread(target=run, name="chat", daemon=True).start()
        return loop

    async def _all(self, requests: Sequence[JsonObject]) -> list[JsonObject | OfframpError]:
        if self._upstream is None:
            self._upstream = self._open()
        places = asyncio.Semaphore(AT_ONCE)

        async def one(request: JsonObject) -> JsonObject | OfframpError:
            async with places:
                try:
                    return await self._one(orjson.dumps(request))
                except OfframpError as error:
                    return error

        return list(await asyncio.gather(*(one(request) for request in requests)))

    async def _one(self, body: bytes) -> JsonObject:
        assert self._upstream is not None
        for left in reversed(range(TRIES)):
            response = await self._upstream.send("POST", "/chat/completions", _HEADERS, body)
            try:
                said = b"".join([piece async for piece in response])
            finally:
                await response.aclose()
            if response.status not in _PATIENCE or not left:
                break
            await self._pause(_wanted_pause(response, TRIES - left))
        return _read(response.status, said)


def _wanted_pause(response: UpstreamResponse, tries: int) -> float:
    """Return the seconds that the provider asks for, else more from try to try."""
    field = (header_of(response.headers, b"retry-after") or b"").decode("latin-1")
    wanted = float(field) if field.isdecimal() else 2.0 ** (tries - 1)
    return min(wanted, LONGEST_PAUSE_S)


def _read(status: int, body: bytes) -> JsonObject:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if status == _OK and isinstance(value, dict):
        return value
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    shown = str(message) if message else body[:_SHOWN].decode("utf-8", "replace")
    raise UpstreamError(f"HTTP {status}: {shown[:_SHOWN]}", hint="Ask the provider, or name another model.")
