"""One HTTP/1.1 connection to the teacher: a request's bytes out, the response's bytes in as they arrive."""

from __future__ import annotations

import asyncio
import select
from typing import Protocol, cast

from offramp.core.errors import UpstreamError, UpstreamTimeout
from offramp.upstream.errors import PARSING, translate, trouble
from offramp.upstream.reader import ResponseReader
from offramp.upstream.response import Response

# A body up to this is copied behind its head: one write, one system call.
_COPIED_UP_TO = 1 << 16
# A larger one goes out in parts, each when the one before is nearly gone.
_PART = 1 << 18


class Owner(Protocol):
    """Who keeps the connections."""

    def opened(self, connection: Connection) -> None:
        """Learn of a connection that stands."""
        ...

    def free(self, connection: Connection) -> None:
        """Take back a connection that can be used again."""
        ...

    def gone(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        ...


class Connection(asyncio.Protocol):
    """One connection, one request at a time.

    Args:
        owner: Takes it back, or learns that it is gone.
        url: The teacher's base URL, for messages.
        silence_s: Seconds without a sign of life after which a request fails.

    Attributes:
        url: The teacher's base URL.
        vanished: Whether the teacher closed it without one byte of an answer to the last request.
    """

    __slots__ = (
        "_answered",
        "_heard",
        "_loop",
        "_owner",
        "_paused",
        "_reader",
        "_response",
        "_silence_s",
        "_stuck",
        "_timer",
        "_transport",
        "_unsent",
        "url",
        "vanished",
    )

    def __init__(self, owner: Owner, url: str, silence_s: float) -> None:
        self.url = url
        self.vanished = False
        self._answered = False
        self._owner = owner
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader()
        self._response: Response | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._paused = False
        self._stuck = False
        self._unsent: memoryview | None = None

    # What the pool does with it.

    @property
    def usable(self) -> bool:
        """Whether a request can be written to it, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    def age(self) -> float:
        """Return the seconds since it last showed a sign of life."""
        return self._loop.time() - self._heard

    def stale(self) -> bool:
        """Whether the teacher has closed it, or said something unasked, unseen by the event loop so far."""
        if self._transport is None or not hasattr(select, "poll"):
            return False
        stream = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def begin(self, head: bytes, body: bytes, *, bodiless: bool) -> Response:
        """Write a request; the response fills as its bytes come.

        Args:
            head: The request's head.
            body: Its body.
            bodiless: The response will have no body, whatever its head says (``HEAD``).
        """
        transport = cast("asyncio.Transport", self._transport)
        response = self._response = Response(self, self._loop)
        self._reader.expect(bodiless=bodiless)
        self._answered = False
        self._heard = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._heard + self._silence_s, self._watch)
        if len(body) <= _COPIED_UP_TO:
            transport.write(head + body)
        else:
            view = memoryview(body)
            self._unsent = view[_PART:] or None
            transport.writelines((head, view[:_PART]))
            self._send_on()
        return response

    def resume(self) -> None:
        """Let the teacher go on: the client has caught up."""
        # uvloop's transports raise once they are closed, which they can be before ``connection_lost``.
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; a response under way has been ended before."""
        self._response = None
        self._unsent = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close at once; a response under way breaks off."""
        if self._response is not None:
            self._response.cut()
        else:
            self.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take what arrived: it becomes one piece of the body at most, and that at once."""
        response = self._response
        if response is None:
            # Nothing was asked: "408 Request Timeout" before closing, or an answer to what comes next.
            self.abort()
            return
        self._answered = True
        self._heard = self._loop.time()
        reader = self._reader
        broken: Exception | None = None
        try:
            reader.feed(data)
        except PARSING as error:
            broken = error
        if reader.status and not response.status:
            response.begin(reader.status, reader.headers)
        piece = reader.take()
        if piece and response.put(piece) and not reader.finished:
            self._hold()
        if reader.finished:
            self._finish(response)
        elif broken is not None:
            self._fail(response, translate(broken, self.url))

    def eof_received(self) -> None:
        """See :class:`asyncio.Protocol`; the event loop closes, and ``connection_lost`` follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        response, self._response = self._response, None
        self._transport = None
        self.abort()
        self._reader.close()
        self._owner.gone(self)
        if response is None:
            return
        self.vanished = not self._answered
        if exc is not None:
            response.end(translate(exc, self.url))
        elif self._reader.until_close:
            response.end()
        else:
            response.end(trouble(UpstreamError, self.url, self._place()))

    def pause_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._stuck = True

    def resume_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._stuck = False
        self._heard = self._loop.time()
        self._send_on()

    # What it does by itself.

    def _finish(self, response: Response) -> None:
        self._response = None
        response.end()
        self.resume()
        transport = self._transport
        # A teacher that answered without reading the whole request would take its rest for the next one.
        if transport is not None and self._reader.reusable and not transport.get_write_buffer_size():
            self._owner.free(self)
        else:
            self.abort()

    def _fail(self, response: Response, error: UpstreamError) -> None:
        self.abort()
        response.end(error)

    def _hold(self) -> None:
        transport = self._transport
        if not self._paused and transport is not None and not transport.is_closing():
            self._paused = True
            transport.pause_reading()

    def _send_on(self) -> None:
        transport = self._transport
        while self._unsent is not None and not self._stuck and transport is not None:
            if transport.is_closing():
                return
            part = self._unsent[:_PART]
            self._unsent = self._unsent[_PART:] or None
            transport.write(part)

    def _watch(self) -> None:
        """One timer for all requests of a connection: when it rings, it looks how long silence lasted."""
        self._timer = None
        response = self._response
        if response is None:
            return
        now = self._loop.time()
        # Whoever is made to wait cannot be heard.
        rings = (now if self._paused else self._heard) + self._silence_s
        if rings > now:
            self._timer = self._loop.call_at(rings, self._watch)
        else:
            cause = f"it was silent for {self._silence_s:g} s"
            self._fail(response, trouble(UpstreamTimeout, self.url, cause))

    def _place(self) -> str:
        if not self._answered:
            return "it closed the connection before it answered"
        where = "body" if self._reader.status else "head"
        return f"it closed the connection in the middle of the response's {where}"
