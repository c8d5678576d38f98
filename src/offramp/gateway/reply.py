"""The way back to a client over HTTP/1.1."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from offramp.gateway.head import bodiless, head_bytes
from offramp.gateway.wire import UNKNOWN

if TYPE_CHECKING:
    from offramp.upstream.port import Headers

_CHUNKED = b"transfer-encoding: chunked\r\n"
_CLOSE = b"connection: close\r\n"
_END = b"0\r\n\r\n"
# A piece from here on is handed over beside its head, not copied behind it.
_COPIED_BELOW = 1 << 16


class Line(Protocol):
    """The connection that an answer goes out on."""

    transport: asyncio.Transport
    drained: asyncio.Future[None] | None
    finishing: bool


class HttpReply:
    """One answer; see :class:`offramp.gateway.wire.Reply`.

    Args:
        line: Where it goes.
        method: The request's method.
        keep: Whether the client may use its connection again.
        plain: Whether the client speaks HTTP/1.0, which knows no chunks.

    Attributes:
        keep: Whether the connection goes on after this answer.
    """

    __slots__ = ("_chunked", "_empty", "_head", "_line", "_method", "_plain", "complete", "keep", "status")

    def __init__(self, line: Line, method: str, *, keep: bool, plain: bool) -> None:
        self.status = 0
        self.complete = False
        self.keep = keep
        self._line = line
        self._method = method
        self._plain = plain
        self._head = b""
        self._chunked = False
        self._empty = False

    def start(self, status: int, headers: Headers, length: int = UNKNOWN) -> None:
        """See :class:`offramp.gateway.wire.Reply`."""
        self.status = status
        self._empty = bodiless(self._method, status)
        tail = b""
        if length == UNKNOWN and not self._empty:
            if self._plain:
                self.keep = False
            else:
                self._chunked = True
                tail = _CHUNKED
                # Never both: two readers would not agree on where the answer ends.
                headers = [field for field in headers if field[0] != b"content-length"]
        if not self.keep or self._line.finishing:
            self.keep = False
            tail += _CLOSE
        self._head = head_bytes(status, headers, tail)

    async def write(self, data: bytes, *, last: bool) -> None:
        """See :class:`offramp.gateway.wire.Reply`."""
        line = self._line
        if line.transport.is_closing():
            # The client is gone, and its connection's end, which cancels this, is on its way.
            await asyncio.get_running_loop().create_future()
        out = [self._head] if self._head else []
        self._head = b""
        if data and not self._empty:
            if self._chunked:
                out += (b"%x\r\n" % len(data), data, b"\r\n")
            else:
                out.append(data)
        if last:
            self.complete = True
            if self._chunked:
                out.append(_END)
        if len(data) < _COPIED_BELOW:
            line.transport.write(b"".join(out))
        else:
            line.transport.writelines(out)
        if not last and line.drained is not None:
            await line.drained

    def push(self, data: bytes) -> bool:
        """See :class:`offramp.gateway.wire.Reply`."""
        transport = self._line.transport
        if self._head or self._empty or self._line.drained is not None or transport.is_closing():
            return False
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        return True
