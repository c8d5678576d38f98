"""What every way to the teacher can do: send one HTTP request, hand back the bytes as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields in wire order; names in lower case, values as received."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields about one connection, not about the message (RFC 9110, 7.6.1)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for the teacher, in seconds.

    Attributes:
        connect: Until a connection stands, name look-up and TLS included.
        silence: Between two signs of life (a piece of the response, a part of the request taken), and
            before the first: a model may think for minutes.
        idle: How long an unused connection is kept. Shorter than the 5 s after which uvicorn (vLLM,
            SGLang) and Node close theirs: a request must not meet the other side's closing.
    """

    connect: float = 10.0
    silence: float = 600.0
    idle: float = 4.0


class UpstreamResponse(Protocol):
    """The teacher's response: its head at once, its body as it comes.

    Iterating yields the body's bytes as the teacher sent them (still compressed where it compressed
    them); a piece is what had arrived, so it need not end where an event ends. Iterating may raise
    ``UpstreamTimeout`` or ``UpstreamError``.
    """

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """End-to-end header fields."""
        ...

    def __aiter__(self) -> Self:
        """The response is its own iterator."""
        ...

    async def __anext__(self) -> bytes:
        """The next piece of the body, never empty."""
        ...

    def pour(self, take: Callable[[bytes], bool]) -> None:
        """Hand the next pieces over as they arrive, without waking who iterates; a way may leave it be.

        Args:
            take: Takes a piece and returns True. Where it returns False that piece and those after it are
                iterated over as before.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the response; one that is not finished is cancelled, so that the teacher can stop."""
        ...


class Upstream(Protocol):
    """A way to the teacher.

    Cancelling the task that waits in :meth:`send` cancels the request.
    """

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> UpstreamResponse:
        """Send one request and wait for the head of the response.

        Args:
            method: HTTP method.
            path: Path and query below the teacher's base URL, percent-encoded: ``/chat/completions``.
            headers: The client's header fields; those about its connection are left out.
            body: The request's bytes, sent as they are.

        Raises:
            BadInput: Method, path or a header field would break the request's head; nothing was sent.
            UpstreamUnreachable: No connection could be made.
            UpstreamTimeout: The teacher was silent for too long.
            UpstreamError: The teacher broke off, or what it sent is no HTTP.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Lower the names and drop the fields that belong to one connection (RFC 9110, 7.6.1)."""
    fields = [(name.lower(), value) for name, value in headers]
    dropped = HOP_BY_HOP
    for name, value in fields:
        if name == b"connection":
            dropped = dropped | {token.strip().lower() for token in value.split(b",")}
    return [field for field in fields if field[0] not in dropped]


def header_of(headers: Headers, name: bytes) -> bytes | None:
    """Return the first field of that (lower case) name, None where there is none."""
    for key, value in headers:
        if key == name:
            return value
    return None
