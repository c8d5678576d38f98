"""Heads of requests: what is fixed is made once, what a client wrote is checked and put behind it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, BadSetting
from offramp.upstream.port import HOP_BY_HOP, end_to_end

if TYPE_CHECKING:
    from offramp.upstream.origin import Origin
    from offramp.upstream.port import Headers

OURS = frozenset({b"host", b"content-length", b"expect"})
"""The connection to the teacher is ours: its host, its framing."""

AUTHORIZATION = "authorization"
CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})
"""Where clients put theirs; none of them goes along with a key of ours."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-zA-Z]+")
# No space and no control character; what the client percent-encoded, or did not, stays as it is.
_TARGET = re.compile(r"(?:[/?][!-~\x80-\xff]*)?")
# Below a key of offramp's own, "/v1/../admin" would reach what the client was not given; some servers cut
# a segment's parameters off before they look at it ("..;x").
_UPWARDS = re.compile(r"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\;]|%2f|%5c|%3b|$)", re.IGNORECASE)
_BREAKS = re.compile(rb"[\r\n\0]")
_PERSISTENCE = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close", b""})
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
# A client that makes names and paths up must not fill the memory.
_KNOWN_AT_MOST = 1024
_LONGEST_KNOWN = 100


class RequestHead:
    """Writes the heads of requests to one teacher.

    Args:
        origin: The teacher.
        api_key: Sent in place of the client's own credential; None passes the client's on.
        key_field: The field it goes in: ``authorization`` (as ``Bearer``) or another, as it is.

    Raises:
        BadSetting: The key holds a line break.
    """

    __slots__ = ("_base_path", "_fixed", "_prefixes", "_starts")

    def __init__(self, origin: Origin, api_key: str | None = None, key_field: str = AUTHORIZATION) -> None:
        self._base_path = origin.base_path
        self._fixed = f" HTTP/1.1\r\nhost: {origin.authority}".encode("latin-1")
        dropped = HOP_BY_HOP | OURS
        if api_key is not None:
            self._fixed += f"\r\n{key_field}: {credential_of(api_key, key_field)}".encode("latin-1")
            dropped |= CREDENTIALS
        self._prefixes = _Prefixes(dropped)
        self._starts: dict[tuple[str, str], bytes] = {}

    def encode(self, method: str, path: str, headers: Headers, length: int) -> bytes:
        """Write a head, the empty line included.

        Args:
            method: HTTP method.
            path: Path and query below the base URL.
            headers: The client's fields; those about its connection are left out.
            length: Bytes of the body.

        Raises:
            BadInput: Method, path or a field would break the head.
        """
        start = self._starts.get((method, path)) or self._start(method, path)
        prefixes = self._prefixes
        lines = [start]
        for name, value in headers:
            prefix = prefixes[name]
            if prefix:
                lines.append(prefix + value)
            elif name == b"connection" and value not in _PERSISTENCE:
                return self.encode(method, path, end_to_end(headers), length)
        head = b"\r\n".join(lines)
        # Every line break has to be one of those just written.
        breaks = len(lines) - 1
        if (
            head.count(b"\n", len(start)) != breaks
            or head.count(b"\r", len(start)) != breaks
            or b"\0" in head
        ):
            check_fields(headers)
        if length or method not in _WITHOUT_BODY:
            return b"%b\r\ncontent-length: %d\r\n\r\n" % (head, length)
        return head + b"\r\n\r\n"

    def _start(self, method: str, path: str) -> bytes:
        check_target(method, path)
        start = f"{method} {self._base_path}{path}".encode("latin-1") + self._fixed
        if len(self._starts) < _KNOWN_AT_MOST and len(path) < _LONGEST_KNOWN:
            self._starts[method, path] = start
        return start


class _Prefixes(dict[bytes, bytes]):
    """From a field's name to how its line begins; "" for a field that is left out."""

    def __init__(self, dropped: frozenset[bytes]) -> None:
        super().__init__()
        self._dropped = dropped

    def __missing__(self, name: bytes) -> bytes:
        if not _TOKEN.fullmatch(name):
            check_fields([(name, b"")])
        lowered = name.lower()
        prefix = b"" if lowered in self._dropped else lowered + b": "
        if len(self) < _KNOWN_AT_MOST and len(name) < _LONGEST_KNOWN:
            self[name] = prefix
        return prefix


def credential_of(api_key: str, key_field: str = AUTHORIZATION) -> str:
    """Return the value of the field that carries a key.

    Raises:
        BadSetting: The key holds what no header field can.
    """
    if not api_key.isascii() or not api_key.isprintable():
        raise BadSetting(
            "The teacher's API key holds a line break or another character that no header field can.",
            hint="Look at how it is set: a key read from a file often ends with a line break.",
        )
    return f"Bearer {api_key}" if key_field == AUTHORIZATION else api_key


def check_fields(headers: Headers) -> None:
    """Refuse fields that would break a head, or smuggle a second one in.

    Raises:
        BadInput: A name is no token, or a value holds CR, LF or NUL.
    """
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise _unsendable(f"header field name {name[:60]!r} is no token (RFC 9110, 5.1)")
        if _BREAKS.search(value):
            raise _unsendable(f"header field {name[:60]!r} holds a line break or a NUL")


def check_target(method: str, path: str) -> None:
    """Refuse a method or a path that would break a head, or a path that leads out of the API.

    Raises:
        BadInput: The method is no token, or the path holds a space, a control character or a dot segment.
    """
    if not method.isascii() or not _TOKEN.fullmatch(method.encode("ascii")):
        raise _unsendable(f"method {method[:60]!r} is no token (RFC 9110, 9.1)")
    if not _TARGET.fullmatch(path):
        # Without its query, which may hold a credential: what is said here is logged.
        raise _unsendable(
            f"path {path.partition('?')[0][:200]!r} is not percent-encoded, or does not begin with a slash"
        )
    if _UPWARDS.search(path.partition("?")[0]):
        raise _unsendable(f"path {path.partition('?')[0][:200]!r} leads out of the API with a dot segment")


def _unsendable(what: str) -> BadInput:
    return BadInput(f"The request was not sent: its {what}.", hint="Send it as HTTP/1.1 has it.")
