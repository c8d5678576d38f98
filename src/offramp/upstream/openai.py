"""The teacher through aiohttp: the way that knows HTTP proxies; ``pool`` is the fast one."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from offramp.core.errors import UpstreamError
from offramp.upstream.aiohttp_errors import FOREIGN, TRANSLATION
from offramp.upstream.errors import translate, trouble
from offramp.upstream.head import (
    AUTHORIZATION,
    CREDENTIALS,
    OURS,
    check_fields,
    check_target,
    credential_of,
)
from offramp.upstream.origin import Origin
from offramp.upstream.port import Headers, Timeouts, end_to_end

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["OpenAIResponse", "OpenAIUpstream", "Timeouts"]

# aiohttp would add these where the client sent none.
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# aiohttp warns about larger bodies that are plain bytes, and writes a BytesIO in slices.
_SLICED_FROM = 1 << 20
_LONGEST_HEADER = 1 << 16
_FINAL = 200


class OpenAIUpstream:
    """An OpenAI-compatible server through aiohttp's client.

    Create it anywhere; connections are made inside the running event loop on first use.

    Args:
        base_url: As clients write it: ``https://api.openai.com/v1``; ``/v1`` is added where only a host
            is named.
        api_key: Sent in place of the client's own credential; None passes the client's on.
        key_field: The field it goes in: ``authorization`` (as ``Bearer``) or another, as it is.
        timeouts: How long to wait.
        connect_retries: Further tries where no connection could be made. Nothing else is tried again:
            once a request is on its way, the teacher may have begun to answer (and to bill).
        retry_pause_s: Pause before each further try, in seconds.
        proxy: URL of the HTTP proxy on the way, None for none.
        tls: How to check the teacher's certificate; None trusts the system's authorities.

    Raises:
        BadSetting: The base URL is none, or the key holds what no header field can.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        key_field: str = AUTHORIZATION,
        timeouts: Timeouts | None = None,
        connect_retries: int = 1,
        retry_pause_s: float = 0.1,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._origin = Origin.parse(base_url)
        self.base_url = self._origin.base_url
        self._credential = None if api_key is None else (key_field, credential_of(api_key, key_field))
        self._proxy = proxy
        self._tls = tls
        self._timeouts = timeouts or Timeouts()
        self._connect_retries = connect_retries
        self._retry_pause_s = retry_pause_s
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> OpenAIResponse:
        """Send one request; see :meth:`offramp.upstream.port.Upstream.send`."""
        check_target(method, path)
        url = URL(self._origin.root + path, encoded=True)
        fields = self._fields(headers)
        retries_left = self._connect_retries
        while True:
            try:
                return await self._send_once(method, url, fields, body)
            except FOREIGN as error:
                if retries_left == 0 or not _never_connected(error):
                    raise translate(error, self.base_url, TRANSLATION) from error
            retries_left -= 1
            await asyncio.sleep(self._retry_pause_s)

    async def aclose(self) -> None:
        """Close every connection; a later :meth:`send` opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send_once(
        self, method: str, url: URL, fields: CIMultiDict[str], body: bytes
    ) -> OpenAIResponse:
        data = io.BytesIO(body) if len(body) > _SLICED_FROM else body or None
        response = await self._opened().request(
            method,
            url,
            data=data,
            headers=fields,
            allow_redirects=False,
            proxy=self._proxy,
            ssl=True if self._tls is None else self._tls,
        )
        if response.status < _FINAL:
            response.close()
            raise trouble(UpstreamError, self.base_url, f"its status is {response.status:03}")
        return OpenAIResponse(response, self.base_url)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = _session(self._origin, self._timeouts)
        return self._session

    def _fields(self, headers: Headers) -> CIMultiDict[str]:
        dropped = OURS if self._credential is None else OURS | CREDENTIALS
        kept = [field for field in end_to_end(headers) if field[0] not in dropped]
        check_fields(kept)
        fields = CIMultiDict(
            [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in kept]
        )
        if self._credential is not None:
            fields.add(*self._credential)
        return fields


class OpenAIResponse:
    """One response of an :class:`OpenAIUpstream`."""

    __slots__ = ("_read", "_response", "_url", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self.status = response.status
        self.headers: Headers = end_to_end(response.raw_headers)
        self._response = response
        self._url = url

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._response.content.readany()
        except FOREIGN as error:
            raise translate(error, self._url, TRANSLATION) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    def pour(self, take: Callable[[bytes], bool]) -> None:
        """See :class:`offramp.upstream.port.UpstreamResponse`: aiohttp wakes who iterates in any case."""

    async def aclose(self) -> None:
        """Give a finished connection back to the pool, cut an unfinished one."""
        self._response.close()


def _never_connected(error: Exception) -> bool:
    # A certificate does not become valid by asking again.
    return isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)


def _session(origin: Origin, timeouts: Timeouts) -> aiohttp.ClientSession:
    # The clients' own number of calls in flight is the limit, as it is without offramp.
    options: Any = {"limit": 0, "keepalive_timeout": timeouts.idle}
    path = origin.socket_path
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path, **options) if path else aiohttp.TCPConnector(**options),
        # A jar would hand one client's cookies to the next.
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect, sock_read=timeouts.silence),
        auto_decompress=False,
        skip_auto_headers=_NOT_ADDED,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )
