"""Heads of requests and responses: what is refused, and how an answer's head is written."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from offramp.gateway.problem import Problem

if TYPE_CHECKING:
    from offramp.upstream.port import Headers

LARGEST_HEAD = 64 << 10
"""Bytes of a request's head; a cookie jar or a long key fits."""

_MOST_FIELDS = 200
# A client that makes names up must not fill the memory.
_NAMES_KEPT = 1024
_LONGEST_KEPT = 64
_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
_BODILESS = frozenset({204, 304})
_ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_RULED = frozenset({b"host", b"content-length", b"transfer-encoding"})


class Names(dict[bytes, bytes]):
    """Names of header fields in lower case: few, so each is made, and hashed, once."""

    def __missing__(self, name: bytes) -> bytes:
        lowered = name.lower()
        if len(self) < _NAMES_KEPT and len(name) < _LONGEST_KEPT:
            self[name] = lowered
        return lowered


def head_too_large() -> Problem:
    """Refuse a head that does not end, or has too many fields."""
    message = f"A request's head is {LARGEST_HEAD} bytes and {_MOST_FIELDS} fields at most."
    return Problem(431, message, "head_too_large")


def body_too_large(at_most: int) -> Problem:
    """Refuse a body over the limit."""
    message = f"The request body is larger than {at_most} bytes, the most that is taken."
    return Problem(413, message, "body_too_large")


def malformed(what: str) -> Problem:
    """Refuse what is no HTTP, or could be read in two ways."""
    return Problem(400, f"The request is malformed: {what}.", "malformed_request")


def fault_of(version: str, headers: Headers, at_most: int) -> Problem | None:
    """Say why a request is refused for its head, None where it is not.

    Two readers of one request must not disagree on where it ends (RFC 9112, 11.2): llhttp refuses two
    lengths and a length beside a transfer coding; here follow codings other than ``chunked``, codings in
    HTTP/1.0, and requests without exactly one host.
    """
    if len(headers) > _MOST_FIELDS:
        return head_too_large()
    hosts = 0
    for name, value in [field for field in headers if field[0] in _RULED]:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            if int(value) > at_most:
                return body_too_large(at_most)
        elif version != "1.1" or value.strip().lower() != b"chunked":
            return malformed("a transfer coding other than chunked")
    if version not in {"1.0", "1.1"}:
        return Problem(505, f"HTTP/{version} is not spoken here; HTTP/1.1 is.", "http_version")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return malformed(f"{hosts} Host fields where one has to be")
    return None


def target_of(url: bytes) -> str | None:
    """Return path and query of a request target, None where it is none that can be served."""
    target = url.decode("latin-1")
    if not target.isascii() or "#" in target:
        # A fragment is the client's own (RFC 9112, 3.2): some readers cut it off, others do not.
        return None
    if target.startswith("/"):
        return target
    if found := _ABSOLUTE.match(target):
        rest = target[found.end() :]
        return rest if rest.startswith("/") else "/" + rest
    return target if target == "*" else None


def bodiless(method: str, status: int) -> bool:
    """Whether a response has no body, whatever its fields say (RFC 9112, 6.3)."""
    return status in _BODILESS or method == "HEAD"


def head_bytes(status: int, headers: Headers, tail: bytes) -> bytes:
    """Write the head of a response; ``tail`` holds the fields about the connection."""
    line = _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"".join([line, *[b"%b: %b\r\n" % field for field in headers], tail, b"\r\n"])
