"""One response as its reader holds it: the head, pieces as they come, and at last an end or an error."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from offramp.core.errors import UpstreamError
from offramp.upstream.errors import trouble

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from offramp.upstream.connection import Connection
    from offramp.upstream.port import Headers

# What a slow client may leave waiting here before the teacher is made to wait, and before it may go on.
_HELD_AT_MOST = 1 << 18
_HELD_AGAIN = 1 << 16


class Response:
    """One response; see :class:`offramp.upstream.port.UpstreamResponse`.

    Attributes:
        status: HTTP status; 0 until the head is here.
        headers: End-to-end header fields.
        error: Why it broke off, None where it did not.
    """

    __slots__ = ("_connection", "_held", "_loop", "_pieces", "_take", "_waiter", "error", "headers", "status")

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: Headers = ()
        self.error: UpstreamError | None = None
        self._connection: Connection | None = connection
        self._loop = loop
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        pieces = self._pieces
        while not pieces:
            if self._connection is None:
                if self.error is not None:
                    raise self.error
                raise StopAsyncIteration
            await self.news()
        piece = pieces.popleft()
        self._held -= len(piece)
        if self._held <= _HELD_AGAIN and self._connection is not None:
            self._connection.resume()
        return piece

    def pour(self, take: Callable[[bytes], bool]) -> None:
        """See :class:`offramp.upstream.port.UpstreamResponse`."""
        self._take = None if self._pieces else take

    async def aclose(self) -> None:
        """Let go; where the response is not finished, its connection is closed."""
        self.cut()

    def cut(self) -> None:
        """As :meth:`aclose`, without waiting, which it does not do either."""
        connection = self._connection
        if connection is not None:
            self.end(trouble(UpstreamError, connection.url, "the call was given up before its end"))
            connection.abort()

    def news(self) -> asyncio.Future[None]:
        """Return what is done once the head, a piece, the end or an error is here."""
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def begin(self, status: int, headers: Headers) -> None:
        """Take the head."""
        self.status = status
        self.headers = headers
        self._wake()

    def put(self, piece: bytes) -> bool:
        """Take a piece; returns whether the teacher should wait before it sends more."""
        if self._take is not None:
            if self._take(piece):
                return False
            self._take = None
        self._pieces.append(piece)
        self._held += len(piece)
        self._wake()
        return self._held > _HELD_AT_MOST

    def end(self, error: UpstreamError | None = None) -> None:
        """Take the end, good or bad; pieces that wait are handed out first."""
        self._connection = self._take = None
        self.error = error
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
