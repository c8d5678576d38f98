from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import UpstreamError, UpstreamUnreachable
from offramp.testing.certificates import Ends, self_signed
from offramp.testing.raw_server import RawServer, Talk, answering
from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from offramp.upstream.port import Upstream

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_HUGE = 32 << 20

_CLIENTS = pytest.mark.parametrize("make", [PooledUpstream, OpenAIUpstream])


@pytest.fixture(scope="module")
def ends() -> Ends:
    return self_signed("127.0.0.1", "localhost")


@contextlib.asynccontextmanager
async def _to(
    server: RawServer,
    make: type[PooledUpstream | OpenAIUpstream] = PooledUpstream,
    tls: ssl.SSLContext | None = None,
    connect: float = 30,
) -> AsyncIterator[Upstream]:
    upstream = make(server.url, tls=tls, connect_retries=0, timeouts=Timeouts(connect=connect, silence=30))
    async with contextlib.aclosing(upstream):
        yield upstream


async def _ask(upstream: Upstream, body: bytes = b"{}") -> bytes:
    response = await upstream.send("POST", "/x", [], body)
    try:
        return b"".join([piece async for piece in response])
    finally:
        await response.aclose()


@_CLIENTS
async def test_a_trusted_certificate_is_accepted_and_the_connection_kept(
    make: type[PooledUpstream | OpenAIUpstream], ends: Ends
) -> None:
    async with (
        RawServer(answering(_OK), tls=ends.server) as server,
        _to(server, make, ends.client) as upstream,
    ):
        for _ in range(3):
            assert await _ask(upstream) == b"ok"
    assert server.connections == 1


@_CLIENTS
async def test_a_certificate_that_nobody_vouches_for_is_refused_with_a_way_out(
    make: type[PooledUpstream | OpenAIUpstream], ends: Ends
) -> None:
    async with RawServer(answering(_OK), tls=ends.server) as server, _to(server, make) as upstream:
        with pytest.raises(UpstreamUnreachable, match=r"certificate verify failed.*SSL_CERT_FILE"):
            await _ask(upstream)


@pytest.mark.parametrize(("names", "expired"), [(("example.org",), False), (("127.0.0.1",), True)])
async def test_a_certificate_for_another_host_or_another_time_is_refused(
    names: tuple[str, ...], expired: bool
) -> None:
    ends = self_signed(*names, expired=expired)
    async with (
        RawServer(answering(_OK), tls=ends.server) as server,
        _to(server, tls=ends.client) as upstream,
    ):
        with pytest.raises(UpstreamUnreachable, match="certificate"):
            await _ask(upstream)


async def test_http_1_is_negotiated_and_the_host_named(ends: Ends) -> None:
    seen: list[tuple[str | None, str | None]] = []
    names: list[str] = []
    context = self_signed("localhost")
    context.server.sni_callback = lambda _stream, name, _context: names.append(name)

    async def script(talk: Talk) -> None:
        await talk.hear()
        stream = talk._writer.get_extra_info("ssl_object")
        seen.append((stream.selected_alpn_protocol(), stream.version()))
        await talk.say(_OK)

    async with RawServer(script, tls=context.server) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with contextlib.aclosing(PooledUpstream(url, tls=context.client)) as upstream:
            await _ask(upstream)
    assert seen == [("http/1.1", "TLSv1.3")]
    assert names == ["localhost"]


async def test_a_server_that_speaks_no_tls_is_unreachable() -> None:
    async def script(talk: Talk) -> None:
        await talk.say(b"220 mail.example.org ESMTP\r\n")
        await talk.gone()

    async with RawServer(script) as server:
        url = server.url.replace("http:", "https:")
        async with contextlib.aclosing(PooledUpstream(url, connect_retries=0)) as upstream:
            with pytest.raises(UpstreamUnreachable):
                await _ask(upstream)


async def test_a_handshake_that_never_ends_is_a_failed_connection() -> None:
    async def script(talk: Talk) -> None:
        await talk.gone()

    async with RawServer(script) as server:
        url = server.url.replace("http:", "https:")
        upstream = PooledUpstream(url, connect_retries=0, timeouts=Timeouts(connect=0.1))
        async with contextlib.aclosing(upstream):
            with pytest.raises(UpstreamUnreachable, match=r"no connection within 0\.1 s"):
                await _ask(upstream)


async def test_megabytes_go_both_ways(ends: Ends) -> None:
    body = bytes(range(256)) * (_HUGE >> 8)

    async def script(talk: Talk) -> None:
        heard = await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(heard.body))
        await talk.say(heard.body)
        await talk.gone()

    async with RawServer(script, tls=ends.server) as server, _to(server, tls=ends.client) as upstream:
        assert await _ask(upstream, body) == body


async def test_letting_go_over_tls_is_seen_by_the_teacher(ends: Ends) -> None:
    left = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        await talk.gone()
        left.set()

    async with RawServer(script, tls=ends.server) as server, _to(server, tls=ends.client) as upstream:
        response = await upstream.send("POST", "/x", [], b"")
        await response.aclose()
        async with asyncio.timeout(30):
            await left.wait()


async def test_a_break_over_tls_is_an_error(ends: Ends) -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")

    async with RawServer(script, tls=ends.server) as server, _to(server, tls=ends.client) as upstream:
        with pytest.raises(UpstreamError):
            await _ask(upstream)
