"""A teacher without a socket: any ASGI app as an upstream, and recorded calls as one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.upstream.port import Headers, end_to_end
from offramp.upstream.recording import Recording
from offramp.upstream.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from typing import Any

    from offramp.core.json import JsonObject
    from offramp.upstream.asgi import App

_NAME = "http://in-process/v1"
_PARTING_S = 0.1


def replay_upstream(calls: Iterable[tuple[JsonObject, JsonObject]]) -> InProcessUpstream:
    """Make an upstream that answers each of these requests with its response, in turn."""
    recording = Recording()
    for request, response in calls:
        recording.add(request, response)
    return InProcessUpstream(Replay(recording))


class InProcessUpstream:
    """Speaks to an ASGI app directly, with the behaviour of a connection to a server.

    Args:
        app: The teacher.
        silence_s: Seconds to wait for the next piece.
    """

    def __init__(self, app: App, *, silence_s: float = 600.0) -> None:
        self._app = app
        self._silence_s = silence_s
        self._closed = False

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> InProcessResponse:
        """Send one request; see :meth:`offramp.upstream.port.Upstream.send`."""
        if self._closed:
            raise UpstreamUnreachable(f"The teacher at {_NAME} cannot be reached: closed.")
        target = f"/v1{path}"
        raw_path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw_path,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": end_to_end(headers),
        }
        response = InProcessResponse(self._silence_s)
        response.begin(self._app, scope, body)
        try:
            await response.head()
        except BaseException:
            await response.aclose()
            raise
        return response

    async def aclose(self) -> None:
        """Refuse further requests."""
        self._closed = True


class InProcessResponse:
    """One response of an :class:`InProcessUpstream`."""

    def __init__(self, silence_s: float) -> None:
        self.status = 0
        self.headers: Headers = ()
        self._silence_s = silence_s
        self._messages: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._left = asyncio.Event()
        self._complete = False

    def begin(self, app: App, scope: MutableMapping[str, Any], body: bytes) -> None:
        """Start the app on a request."""
        request: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body}]

        async def receive() -> MutableMapping[str, Any]:
            if request:
                return request.pop()
            await self._left.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            self._messages.put_nowait(message)

        async def run() -> None:
            try:
                await app(scope, receive, send)
            finally:
                self._messages.put_nowait({"type": "end"})

        self._task = asyncio.create_task(run())

    async def head(self) -> None:
        """Wait for status and header fields."""
        message = await self._next()
        if message["type"] != "http.response.start":
            raise UpstreamError(f"The teacher at {_NAME} broke off: no response.")
        self.status = message["status"]
        self.headers = end_to_end(message.get("headers", ()))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._complete:
            message = await self._next()
            if message["type"] == "end":
                raise UpstreamError(f"The teacher at {_NAME} broke off: its response is not complete.")
            self._complete = not message.get("more_body", False)
            if message.get("body"):
                body: bytes = message["body"]
                return body
        raise StopAsyncIteration

    def pour(self, take: Callable[[bytes], bool]) -> None:
        """See :class:`offramp.upstream.port.UpstreamResponse`: whoever iterates is woken in any case."""

    async def aclose(self) -> None:
        """Tell the app that its client left; one that does not listen is cancelled."""
        self._left.set()
        await asyncio.wait({self._task}, timeout=_PARTING_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _next(self) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(self._silence_s):
                return await self._messages.get()
        except TimeoutError as error:
            raise UpstreamTimeout(f"The teacher at {_NAME} did not answer in time.") from error
