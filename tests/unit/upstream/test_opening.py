from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import BadSetting, UpstreamUnreachable
from offramp.testing.raw_server import RawServer, Talk
from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.opening import open_upstream
from offramp.upstream.pool import PooledUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offramp.upstream.port import Upstream

_URL = "http://teacher.example/v1"
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def _through(proxy: str, url: str = _URL) -> AsyncIterator[Upstream]:
    async with contextlib.aclosing(open_upstream(url, proxy=proxy)) as upstream:
        yield upstream


def test_the_usual_way_is_the_pool() -> None:
    assert isinstance(open_upstream(_URL), PooledUpstream)


def test_aiohttp_can_be_asked_for() -> None:
    assert isinstance(open_upstream(_URL, client="aiohttp"), OpenAIUpstream)


def test_a_proxy_is_never_left_out() -> None:
    assert isinstance(open_upstream(_URL, client="pool", proxy="http://proxy:3128"), OpenAIUpstream)


def test_a_client_that_is_not_there_is_refused() -> None:
    unknown: Any = "httpx"
    with pytest.raises(BadSetting, match="pool or aiohttp"):
        open_upstream(_URL, client=unknown)


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://proxy:1080", "http://", ""])
def test_a_proxy_that_cannot_work_is_refused(proxy: str) -> None:
    with pytest.raises(BadSetting, match="proxy"):
        open_upstream(_URL, proxy=proxy)


def test_a_proxys_password_is_not_repeated() -> None:
    with pytest.raises(BadSetting) as caught:
        open_upstream(_URL, proxy="socks5://me:hunter2@proxy:1080")
    assert "hunter2" not in str(caught.value)


async def test_a_request_goes_through_the_proxy() -> None:
    heads: list[bytes] = []

    async def script(talk: Talk) -> None:
        heads.append((await talk.hear()).head)
        await talk.say(_OK)

    async with (
        RawServer(script) as server,
        _through(f"http://me:secret@127.0.0.1:{server.port}") as upstream,
    ):
        response = await upstream.send("POST", "/x?a=%2F", [], b"{}")
        assert b"".join([piece async for piece in response]) == b"ok"
    assert heads[0].startswith(b"POST http://teacher.example/v1/x?a=%2F HTTP/1.1\r\n")
    assert b"Basic " in heads[0]


async def test_a_tls_teacher_is_reached_through_a_tunnel() -> None:
    heads: list[bytes] = []

    async def script(talk: Talk) -> None:
        heads.append((await talk.hear()).head)
        await talk.say(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n")

    async with (
        RawServer(script) as server,
        _through(f"http://127.0.0.1:{server.port}", "https://teacher.example/v1") as upstream,
    ):
        with pytest.raises(UpstreamUnreachable, match="403"):
            await upstream.send("POST", "/x", [], b"{}")
    assert heads[0].startswith(b"CONNECT teacher.example:443 HTTP/1.1\r\n")


def test_the_pool_does_without_aiohttp() -> None:
    code = "import sys, offramp.upstream.opening; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
