"""Reads HTTP/1.1 responses, free of any socket.

llhttp (through httptools) does the reading with every leniency off: a response that two readers could
understand differently (both ``Transfer-Encoding`` and ``Content-Length``, two lengths, bare line feeds)
is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from offramp.upstream.errors import PARSING, Violation
from offramp.upstream.port import HOP_BY_HOP, end_to_end

if TYPE_CHECKING:
    from offramp.upstream.port import Headers

LONGEST_HEAD = 1 << 16
"""More than any provider sends (about 2 KB); aiohttp's client is set to the same."""

_FIRST, _FINAL = 100, 200
_SWITCHING = 101
_WITHOUT_BODY = frozenset({204, 304})
_ABOUT_CONNECTION = HOP_BY_HOP | {b"content-length"}
_CODINGS = frozenset({b"chunked", b"identity"})


class ResponseReader:
    """Reads one response after the other from the pieces that a connection brings.

    Attributes:
        status: HTTP status; 0 until the head is whole.
        headers: End-to-end fields of the head.
        finished: Whether the response is whole.
        until_close: Whether only the end of the connection ends the response.
        reusable: Whether, after a finished response, the connection can carry another.
    """

    __slots__ = (
        "_about_connection",
        "_barren",
        "_bodiless",
        "_fields",
        "_has_length",
        "_parser",
        "_pieces",
        "finished",
        "headers",
        "reusable",
        "status",
        "until_close",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._has_length = self._about_connection = False
        self.expect()

    def expect(self, *, bodiless: bool = False) -> None:
        """Get ready for the next response.

        Args:
            bodiless: It will have no body, whatever its head says: the answer to ``HEAD``.
        """
        self.status = 0
        self.headers: Headers = ()
        self.finished = self.until_close = self.reusable = False
        self._bodiless = bodiless
        self._barren = 0
        self._forget()

    def feed(self, data: bytes) -> None:
        """Read what arrived.

        Raises:
            httptools.HttpParserError: It is no HTTP.
            httptools.HttpParserUpgrade: It is the beginning of another protocol.
            Violation: It is HTTP that is not acceptable.
        """
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except PARSING as error:
            self.reusable = False
            if not self.finished:
                if isinstance(error.__context__, Violation):
                    # One of the methods below raised it; the parser wrapped it.
                    raise error.__context__ from None
                raise
        if self._pieces:
            self._barren = 0
        elif self._barren > LONGEST_HEAD and not self.finished:
            raise Violation(f"it sent more than {LONGEST_HEAD} bytes of head, trailers or chunk extensions")

    def take(self) -> bytes:
        """Return what the last :meth:`feed` brought of the body, b"" for nothing."""
        pieces = self._pieces
        if len(pieces) == 1:
            return pieces.pop()
        whole = b"".join(pieces)
        pieces.clear()
        return whole

    def close(self) -> None:
        """Read no more, and let go of the parser, which holds this object as this object holds it."""
        del self._parser

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.finished:
            raise Violation("it answered twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field."""
        name = name.lower()
        if name in _ABOUT_CONNECTION:
            # Blanks behind a value stay where it is the client's: a length has to be read by everybody.
            value = value.strip(b" \t")
            self._note(name, value)
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Publish the head, unless it is one of those before the answer (1xx)."""
        status = self._parser.get_status_code()
        if status < _FINAL:
            if status < _FIRST:
                raise Violation(f"its status is {status:03}")
            if status == _SWITCHING:
                raise Violation("it switches to another protocol, which nobody asked for")
            self._forget()
            return
        if self._barren > LONGEST_HEAD:
            self._measure()
        self.status = status
        self.headers = end_to_end(self._fields) if self._about_connection else self._fields
        if self._bodiless:
            self.finished = True
            raise Violation("a body is not read here")
        self.reusable = self._parser.should_keep_alive()
        self.until_close = not self._has_length and status not in _WITHOUT_BODY
        # Trailers come to the same place.
        self._fields = []

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body until all that arrived is read."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The response is whole, unless it was one of those before the answer (1xx)."""
        if self.status:
            self.finished = True

    def _measure(self) -> None:
        if sum(len(name) + len(value) for name, value in self._fields) > LONGEST_HEAD:
            raise Violation(f"its head is longer than {LONGEST_HEAD} bytes")

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._has_length = True
            return
        self._about_connection = True
        if name == b"transfer-encoding":
            coding = value.strip().lower()
            if coding not in _CODINGS:
                raise Violation(f"it uses transfer coding {value[:60]!r}, which nobody asked for")
            self._has_length = self._has_length or coding == b"chunked"

    def _forget(self) -> None:
        self._fields = []
        self._has_length = self._about_connection = False
