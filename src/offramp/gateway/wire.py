"""What the gateway's core reads and writes, free of any server's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from offramp.core.admission import Admission, Guard, OpenGuard, Refusal

if TYPE_CHECKING:
    from offramp.upstream.port import Headers

__all__ = ["UNKNOWN", "Admission", "Asked", "Guard", "OpenGuard", "Refusal", "Reply", "send_whole"]

UNKNOWN = -1
"""The length of a body whose length nobody declared."""


class Asked:
    """One request as it came.

    A plain class: one is made for every request, and a frozen dataclass takes three times as long.

    Args:
        method: HTTP method.
        target: Path and query as written, percent-encoded: ``/v1/chat/completions``.
        headers: Header fields, names in lower case.
        body: The body's bytes.
        client: The client's address, "" where unknown.
    """

    __slots__ = ("body", "client", "headers", "method", "target")

    def __init__(self, method: str, target: str, headers: Headers, body: bytes, client: str = "") -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.client = client


class Reply(Protocol):
    """The way back to the client."""

    @property
    def status(self) -> int:
        """Status of the response that was begun; 0 until then, so that an error can still be told."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the last piece was sent."""
        ...

    def start(self, status: int, headers: Headers, length: int = UNKNOWN) -> None:
        """Begin the response; its head goes out with the first piece of the body.

        Args:
            status: HTTP status.
            headers: Every header field, ``content-length`` too where the length is known.
            length: The declared length of the body, :data:`UNKNOWN` where none is.
        """
        ...

    async def write(self, data: bytes, *, last: bool) -> None:
        """Send a piece of the body at once; where more follows, wait until the client can take it."""
        ...

    def push(self, data: bytes) -> bool:
        """Send a piece that is not the last without waiting; False where it was not sent."""
        ...


async def send_whole(reply: Reply, status: int, headers: Headers, body: bytes) -> None:
    """Answer with a whole body, its length declared."""
    length = len(body)
    reply.start(status, [*headers, (b"content-length", b"%d" % length)], length)
    await reply.write(body, last=True)
