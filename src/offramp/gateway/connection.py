"""One client's connection: its requests in, in order; their answers out, as they come."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from offramp.gateway.head import (
    LARGEST_HEAD,
    body_too_large,
    fault_of,
    head_too_large,
    malformed,
    target_of,
)
from offramp.gateway.problem import Problem
from offramp.gateway.reply import HttpReply
from offramp.gateway.wire import Asked, send_whole

if TYPE_CHECKING:
    from offramp.gateway.front import Front

_log = logging.getLogger("offramp.gateway")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EXPECT, _GO_AHEAD = b"expect", b"100-continue"
# Requests that a client may send ahead of its answers before it is read no further; one large body is enough.
_AHEAD = 16
_LARGE_AHEAD = 1 << 16
# Pieces of a body that are kept as they came; a client that sends two bytes a chunk must not make millions.
_PIECES = 1024
_FAILED = Problem(500, "offramp failed on this request; its log says why.", "internal_error")
_STOPPING = Problem(503, "offramp is stopping; ask again.", "stopping", retry_after=1)


# What the next bytes belong to. Numbers: an enum's member costs three times as much to look up.
_NOTHING, _HEAD, _BODY, _REFUSED = range(4)


class _Request:
    """One request that waits for its turn.

    Args:
        asked: The request.
        keep: Whether the client wants to use the connection again.
        plain: Whether it speaks HTTP/1.0.
        problem: Why it is refused, None where it is not.
    """

    __slots__ = ("asked", "keep", "plain", "problem")

    def __init__(self, asked: Asked, *, keep: bool, plain: bool, problem: Problem | None = None) -> None:
        self.asked = asked
        self.keep = keep
        self.plain = plain
        self.problem = problem


class Connection(asyncio.Protocol):
    """One connection, its requests answered in order by one task, which ends with it.

    Args:
        front: Whose connection it is.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._names = front.names
        self._loop = asyncio.get_running_loop()
        self._client = ""
        self._parser = httptools.HttpRequestParser(self)
        self._reading = _NOTHING
        self._since = self._loop.time()
        self._fed = 0
        self._piece = 0
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes | bytearray] = []
        self._size = 0
        self._barren = 0
        self._plain = False
        self._waiting: deque[_Request] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._answering = False
        self._held = False
        self._lost = False
        self._cut = False
        self.finishing = False
        self.drained: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._front.joined(self)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        if self._reading == _REFUSED:
            return
        if self._reading == _BODY:
            self._since = self._loop.time()
            self._barren += len(data)
        in_head = self._reading == _HEAD
        self._piece = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: the request gets its answer, and what follows is not read.
            self._reading = _REFUSED
        except httptools.HttpParserError as error:
            self._refuse(malformed(str(error) or "no HTTP/1.1"))
        if self._reading == _HEAD:
            # What came before the head in its first piece is not its own: there it is measured.
            self._fed += len(data) if in_head or len(data) <= LARGEST_HEAD else self._head_size()
            if self._fed > LARGEST_HEAD:
                self._refuse(head_too_large())
        elif self._reading == _BODY and self._barren > LARGEST_HEAD:
            # The parser gathers a trailer's value whole, and would do so for ever.
            self._refuse(malformed("trailers or chunk extensions without end"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop working for a client that is gone."""
        del exc
        self._lost = True
        self._reading = _REFUSED
        self.resume_writing()
        if self._task is None or self._task.done():
            self._front.left(self)
        else:
            self._task.cancel()

    def pause_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._since = self._loop.time()
        self.drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.drained = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._reading == _REFUSED:
            return
        self._reading = _HEAD
        self._since = self._loop.time()
        self._fed = 0
        self._url = b""
        self._fields = []
        self._pieces = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or one of a trailer: those end with the connection (RFC 9110, 6.5)."""
        if self._reading == _HEAD:
            self._fields.append((self._names[name], value))

    def on_headers_complete(self) -> None:
        """Decide whether the request may come in."""
        if self._reading != _HEAD:
            return
        version = self._parser.get_http_version()
        self._plain = version == "1.0"
        fault = fault_of(version, self._fields, self._front.body_bytes)
        if fault is None and self._fed + self._piece > LARGEST_HEAD and self._head_size() > LARGEST_HEAD:
            fault = head_too_large()
        if fault is not None:
            self._refuse(fault)
            return
        self._reading = _BODY
        self._barren = 0
        if not self._plain and not self._answering and not self._waiting and self._expects():
            self.transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._reading != _BODY:
            return
        pieces = self._pieces
        if len(pieces) < _PIECES:
            pieces.append(body)
        elif len(pieces) == _PIECES:
            pieces.append(bytearray(body))
        else:
            pieces[-1] += body
        self._size += len(body)
        self._barren = 0
        if self._size > self._front.body_bytes:
            self._refuse(body_too_large(self._front.body_bytes))

    def on_message_complete(self) -> None:
        """Hand the request over."""
        if self._reading != _BODY:
            return
        self._reading = _NOTHING
        parser, pieces = self._parser, self._pieces
        body = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        method = parser.get_method().decode("ascii")
        target = target_of(self._url)
        if target is None:
            self._refuse(malformed("a target that is no path"))
            return
        keep = not self._plain and parser.should_keep_alive() and not parser.should_upgrade()
        asked = Asked(method, target, self._fields, body, self._client)
        self._queue(_Request(asked, keep=keep, plain=self._plain))

    # What is done with its requests.

    def _queue(self, request: _Request) -> None:
        self._waiting.append(request)
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif len(self._waiting) >= _AHEAD or len(request.asked.body) > _LARGE_AHEAD:
            self._held = True
            self.transport.pause_reading()

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem once the requests before it are answered, and read no more."""
        self._reading = _REFUSED
        self._since = self._loop.time()
        self._pieces = []
        target = target_of(self._url) or "/"
        self._queue(_Request(Asked("", target, self._fields, b""), keep=False, plain=False, problem=problem))

    def _expects(self) -> bool:
        # A list, no generator: hardly any request has the field, and each is looked through for it.
        return _GO_AHEAD in [value.lower() for name, value in self._fields if name == _EXPECT]

    def _head_size(self) -> int:
        return len(self._url) + sum(len(name) + len(value) for name, value in self._fields)

    async def _serve(self) -> None:
        """Answer one request after the other, until the connection has no more use."""
        try:
            while await self._answered(await self._next()):
                if self.drained is not None:
                    # Else a client that asks and asks, and never reads, would have all its answers kept here.
                    await self.drained
                self._answering = False
                self._since = self._loop.time()
        except asyncio.CancelledError:
            # The client left, or the server stops: this task is the connection's own and ends with it.
            self.transport.close()
        finally:
            self._answering = False
            self._since = self._loop.time()
            if self._lost:
                self._front.left(self)

    async def _next(self) -> _Request:
        while not self._waiting:
            self._waiter = self._loop.create_future()
            await self._waiter
        self._answering = True
        request = self._waiting.popleft()
        if self._held and not self.transport.is_closing():
            self._held = False
            self.transport.resume_reading()
        return request

    async def _answered(self, request: _Request) -> bool:
        """Answer one request; returns whether another may follow."""
        asked = request.asked
        reply = HttpReply(self, asked.method, keep=request.keep, plain=request.plain)
        if request.problem is not None:
            await self._tell(request.problem, asked, reply)
            # Closed at once, what the client still sends would make its system drop the answer unread.
            if not self.transport.is_closing():
                self.transport.write_eof()
            return False
        try:
            await self._front.core.answer(asked, reply)
        except asyncio.CancelledError:
            await self._broken_off(asked, reply)
            raise
        except Exception:  # noqa: BLE001 - the process edge
            _log.exception("%s %s failed", asked.method, asked.target.partition("?")[0])
            if not reply.status:
                await self._tell(_FAILED, asked, reply)
        if reply.complete and reply.keep:
            return True
        self.transport.close()
        return False

    async def _broken_off(self, asked: Asked, reply: HttpReply) -> None:
        if self._lost and not reply.complete:
            self._front.core.gone()
        elif self._cut and not reply.status:
            await self._tell(_STOPPING, asked, reply)

    async def _tell(self, problem: Problem, asked: Asked, reply: HttpReply) -> None:
        fields, body = self._front.core.tell(asked.target, problem)
        await send_whole(reply, problem.status, fields, body)

    # What its front does with it.

    def look_at_the_clock(self, now: float) -> None:
        """Close where the client has been waited for long enough."""
        patience, waited = self._front.patience, now - self._since
        if self.transport.is_closing():
            # What it was sent last waits to be taken.
            if waited > patience.stalled:
                self.transport.abort()
        elif self._answering:
            if self.drained is not None and waited > patience.stalled:
                self.transport.abort()
        elif self._reading == _NOTHING:
            if waited > patience.idle:
                self.transport.close()
        elif self._reading == _REFUSED:
            if waited > patience.lingering:
                self.transport.abort()
        elif waited > (patience.head if self._reading == _HEAD else patience.body):
            self._refuse(Problem(408, "The request did not come to its end in time.", "request_timeout"))

    def finish(self) -> None:
        """Let the call under way finish, and close; close at once where there is none."""
        self.finishing = True
        if not self._answering and not self._waiting:
            self.transport.close()

    def cut(self) -> None:
        """Close now, whatever is under way."""
        self._cut = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
        else:
            self.transport.close()
