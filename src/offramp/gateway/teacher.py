"""Passes a call on to the teacher, and its response back: same status, same bytes, as they come."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from offramp.core.errors import UpstreamError, UpstreamTimeout
from offramp.gateway.counters import Metric
from offramp.gateway.wire import for_teacher
from offramp.upstream.asgi import error_payload
from offramp.upstream.completions import encode
from offramp.upstream.port import header_of

if TYPE_CHECKING:
    from offramp.gateway.counters import Counters
    from offramp.gateway.wire import Asked, Reply
    from offramp.upstream.port import Headers, Upstream, UpstreamResponse

_log = logging.getLogger("offramp.gateway")

_UNKNOWN = -1


class Teacher:
    """The teacher, as the client sees it.

    Args:
        upstream: The way to it.
        counters: Where its failures are counted.
    """

    def __init__(self, upstream: Upstream, counters: Counters) -> None:
        self._upstream = upstream
        self._counters = counters

    async def answer(self, asked: Asked, reply: Reply, *, extra: Headers) -> None:
        """Let the teacher answer the client.

        Where it does not, the client is told; where it breaks off, the client's own response breaks off
        at the same byte (``reply.complete`` stays false).

        Args:
            asked: The request, passed on as it is but for header fields that are for offramp.
            reply: The way back to the client.
            extra: Header fields to add to the response.
        """
        try:
            headers = for_teacher(asked.headers)
            response = await self._upstream.send(asked.method, asked.path, headers, asked.body)
            try:
                await _relay(response, reply, extra)
            finally:
                await response.aclose()
        except UpstreamError as error:
            _log.warning("%s", error)
            self._counters.add(Metric.ERRORS, type(error).__name__)
            if not reply.status:
                await _tell(error, reply, extra)


async def _relay(response: UpstreamResponse, reply: Reply, extra: Headers) -> None:
    """Hold the head until the first piece of the body is here: until then an error can still be told."""
    left = _length(response.headers)
    piece = await anext(response, b"")
    await reply.start(response.status, [*response.headers, *extra])
    while piece:
        left -= len(piece)
        await reply.write(piece, last=left == 0)
        if left == 0:
            return
        piece = await anext(response, b"")
    await reply.write(b"", last=True)


def _length(headers: Headers) -> int:
    value = header_of(headers, b"content-length")
    return int(value) if value is not None and value.isdigit() else _UNKNOWN


async def _tell(error: UpstreamError, reply: Reply, extra: Headers) -> None:
    """Tell the client in the form its library knows: 504 for a teacher that is too slow, else 502."""
    slow = isinstance(error, UpstreamTimeout)
    code = "upstream_timeout" if slow else "upstream_error"
    body = encode(error_payload(str(error), kind="api_error", code=code))
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *extra]
    await reply.start(504 if slow else 502, fields)
    await reply.write(body, last=True)
