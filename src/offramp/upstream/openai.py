"""OpenAI-compatible servers over HTTP: bytes in, bytes out, nothing decoded and nothing re-encoded."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from typing import Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from offramp.core.errors import BadSetting
from offramp.upstream.errors import FOREIGN, translate
from offramp.upstream.port import Headers, end_to_end

# The connection to the teacher is ours: its host, its framing.
_OURS = frozenset({b"host", b"content-length", b"expect"})
# aiohttp would add these where the client sent none.
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# aiohttp warns about larger bodies that are plain bytes, and writes a BytesIO in slices.
_SLICED_FROM = 1 << 20
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for the teacher, in seconds.

    Attributes:
        connect: Until a connection stands, name look-up and TLS included.
        silence: Between two pieces of a response, and before the first: a model may think for minutes.
    """

    connect: float = 10.0
    silence: float = 600.0


class OpenAIUpstream:
    """An OpenAI-compatible server behind a pool of connections.

    Create it anywhere; connections are made inside the running event loop on first use.

    Args:
        base_url: As clients write it: ``https://api.openai.com/v1``; ``/v1`` is added where only a host
            is named.
        api_key: Sent in place of the client's own ``Authorization``; None passes the client's on.
        timeouts: How long to wait.
        connect_retries: Further tries where no connection could be made. Nothing else is tried again:
            once a request is on its way, the teacher may have begun to answer (and to bill).
        retry_pause_s: Pause before each further try, in seconds.

    Raises:
        BadSetting: The base URL is not an http or https URL.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
        connect_retries: int = 1,
        retry_pause_s: float = 0.1,
    ) -> None:
        self.base_url = _checked(base_url)
        self._authorization = None if api_key is None else f"Bearer {api_key}"
        self._timeouts = timeouts or Timeouts()
        self._connect_retries = connect_retries
        self._retry_pause_s = retry_pause_s
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> OpenAIResponse:
        """Send one request; see :meth:`offramp.upstream.port.Upstream.send`."""
        url = URL(self.base_url + path, encoded=True)
        fields = self._fields(headers)
        retries_left = self._connect_retries
        while True:
            try:
                return await self._send_once(method, url, fields, body)
            except FOREIGN as error:
                if retries_left == 0 or not _never_connected(error):
                    raise translate(error, self.base_url) from error
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
        response = await self._opened().request(method, url, data=data, headers=fields, allow_redirects=False)
        return OpenAIResponse(response, self.base_url)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = _session(self._timeouts)
        return self._session

    def _fields(self, headers: Headers) -> CIMultiDict[str]:
        fields = CIMultiDict(
            [
                (name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
                for name, value in end_to_end(headers)
                if name not in _OURS
            ]
        )
        if self._authorization is not None:
            fields["authorization"] = self._authorization
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
            raise translate(error, self._url) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Give a finished connection back to the pool, cut an unfinished one."""
        self._response.close()


def _never_connected(error: Exception) -> bool:
    # A certificate does not become valid by asking again.
    return isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError)


def _session(timeouts: Timeouts) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # The clients' own number of calls in flight is the limit, as it is without offramp.
        connector=aiohttp.TCPConnector(limit=0),
        # A jar would hand one client's cookies to the next.
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect, sock_read=timeouts.silence),
        auto_decompress=False,
        skip_auto_headers=_NOT_ADDED,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )


def _checked(base_url: str) -> str:
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host or url.user or url.query_string or url.fragment:
        raise BadSetting(
            f"The teacher's base URL is {base_url.rpartition('@')[2]!r}; it has to begin with http:// or "
            "https://, name a host, and hold no password, query or fragment.",
            hint="Write it as clients do, with the version: https://api.openai.com/v1.",
        )
    return base_url.rstrip("/") if url.path not in {"", "/"} else base_url.rstrip("/") + "/v1"
