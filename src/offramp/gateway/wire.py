"""What the gateway's core reads and writes, free of any server's interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.upstream.port import Headers

_OURS = b"x-offramp-"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came.

    Attributes:
        method: HTTP method.
        path: Path and query below ``/v1``, percent-encoded: ``/chat/completions``.
        headers: Header fields, names in lower case.
        body: The body's bytes.
        client: The client's address, "" where unknown.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    client: str = ""


class Reply(Protocol):
    """The way back to the client, which remembers what it sent; sending waits while the client must."""

    @property
    def status(self) -> int:
        """Status sent; 0 until then, so that an error can still be told."""
        ...

    @property
    def headers(self) -> Headers:
        """Header fields sent."""
        ...

    @property
    def pieces(self) -> Sequence[bytes]:
        """The pieces of the body sent, where they are kept."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the last piece was sent."""
        ...

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and header fields."""
        ...

    async def write(self, data: bytes, *, last: bool) -> None:
        """Send a piece of the body."""
        ...


def for_teacher(headers: Headers) -> Headers:
    """Leave out the header fields that are for offramp."""
    return [field for field in headers if not field[0].startswith(_OURS)]
