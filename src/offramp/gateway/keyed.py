"""The upstream's own key, put in where the client's credential was offramp's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.upstream.port import Headers, Upstream, UpstreamResponse

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key"})


class KeyedUpstream:
    """A way to a teacher whose key stands in a field other than ``Authorization``, as Anthropic's does.

    Args:
        upstream: The way to it.
        key: Its key, sent in place of every credential of the client.
        field: The header field it stands in.
    """

    def __init__(self, upstream: Upstream, key: str, *, field: bytes = b"x-api-key") -> None:
        self._upstream = upstream
        self._credential = (field, key.encode("latin-1"))

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> UpstreamResponse:
        """Send one request; see :meth:`offramp.upstream.port.Upstream.send`."""
        kept = [field for field in headers if field[0] not in _CREDENTIALS]
        return await self._upstream.send(method, path, [*kept, self._credential], body)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._upstream.aclose()
