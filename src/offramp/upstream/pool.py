"""The teacher through a pool of HTTP/1.1 connections of offramp's own: the fast way, without a task per call.

What is asked twice: a request whose connection could not be made; a request whose connection was closed
before anything of it was written; and a ``GET``, ``HEAD`` or ``OPTIONS`` whose reused connection closed
without a byte of a response. Nothing else: a ``POST`` that was written may have been read, run and billed
(RFC 9110, 9.2.2), whatever became of its connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from offramp.core.errors import UpstreamError
from offramp.upstream.connection import Connection
from offramp.upstream.dial import Dialer
from offramp.upstream.head import AUTHORIZATION, RequestHead
from offramp.upstream.origin import Origin
from offramp.upstream.port import Timeouts

if TYPE_CHECKING:
    import ssl

    from offramp.upstream.port import Headers
    from offramp.upstream.response import Response

# Asking these twice changes nothing (RFC 9110, 9.2.1).
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# No server closes a connection that was used less than a second ago.
_SURE_S = 1.0


class PooledUpstream:
    """An OpenAI-compatible server behind as many connections as there are calls in flight.

    Create it anywhere; connections are made inside the running event loop on first use. The connection
    used last is used next, so that those not needed grow idle and are closed.

    Args:
        base_url: As clients write it: ``https://api.openai.com/v1``; ``/v1`` is added where only a host
            is named; ``http+unix://%2Frun%2Fvllm.sock/v1`` for a Unix socket.
        api_key: Sent in place of the client's own credential; None passes the client's on.
        key_field: The field it goes in: ``authorization`` (as ``Bearer``) or another, as it is.
        timeouts: How long to wait.
        connect_retries: Further tries where no connection could be made.
        retry_pause_s: Pause before each further try, in seconds.
        tls: How to check the teacher's certificate; None trusts the system's authorities.

    Raises:
        BadSetting: The base URL is none, or the key holds what no header field can.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        key_field: str = AUTHORIZATION,
        timeouts: Timeouts | None = None,
        connect_retries: int = 1,
        retry_pause_s: float = 0.1,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        origin = Origin.parse(base_url)
        self.base_url = origin.base_url
        self._timeouts = timeouts or Timeouts()
        self._head = RequestHead(origin, api_key, key_field)
        self._dialer = Dialer(
            origin,
            timeout_s=self._timeouts.connect,
            tls=tls,
            retries=connect_retries,
            pause_s=retry_pause_s,
        )
        self._open: set[Connection] = set()
        # In the order they became idle: the last one is taken, the first one grows old.
        self._idle: dict[Connection, None] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> Response:
        """Send one request; see :meth:`offramp.upstream.port.Upstream.send`."""
        head = self._head.encode(method, path, headers, len(body))
        bodiless = method == "HEAD"
        kept = self._kept()
        if kept is not None:
            try:
                return await _answered(kept.begin(head, body, bodiless=bodiless))
            except UpstreamError:
                if not kept.vanished or method not in _SAFE:
                    raise
        made = await self._dialer.dial(self._connection)
        return await _answered(made.begin(head, body, bodiless=bodiless))

    async def aclose(self) -> None:
        """Close every connection; calls in flight break off. A later :meth:`send` opens new ones."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._open):
            connection.close()
        if self._open:
            self._emptied = self._emptied or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    def opened(self, connection: Connection) -> None:
        """See :class:`offramp.upstream.connection.Owner`."""
        self._open.add(connection)

    def free(self, connection: Connection) -> None:
        """See :class:`offramp.upstream.connection.Owner`."""
        self._idle[connection] = None
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._timeouts.idle, self._close_idle)

    def gone(self, connection: Connection) -> None:
        """See :class:`offramp.upstream.connection.Owner`."""
        self._open.discard(connection)
        self._idle.pop(connection, None)
        if self._emptied is not None and not self._open:
            if not self._emptied.done():
                self._emptied.set_result(None)
            self._emptied = None

    def _connection(self) -> Connection:
        return Connection(self, self.base_url, self._timeouts.silence)

    def _kept(self) -> Connection | None:
        """Take the idle connection used last that, as far as can be known, is still open."""
        while self._idle:
            connection, _ = self._idle.popitem()
            age = connection.age()
            if age < self._timeouts.idle and connection.usable and not (age > _SURE_S and connection.stale()):
                return connection
            connection.abort()
        return None

    def _close_idle(self) -> None:
        """Close what has been idle for too long, and ring again when the next one will have been."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        while self._idle:
            oldest = next(iter(self._idle))
            left = self._timeouts.idle - oldest.age()
            if left > 0:
                self._sweep = loop.call_later(left, self._close_idle)
                return
            del self._idle[oldest]
            oldest.abort()


async def _answered(response: Response) -> Response:
    """Wait for the head; whoever is cancelled meanwhile cancels the request."""
    try:
        await response.news()
    except BaseException:
        response.cut()
        raise
    if response.error is not None and not response.status:
        raise response.error
    return response
