from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import BadSetting, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher
from offramp.upstream.openai import OpenAIUpstream, Timeouts
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offramp.upstream.port import Upstream


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Talker:
    """A server that reads a request and then says what it likes, HTTP or not."""

    def __init__(self, says: bytes, *, stays_open: bool = False) -> None:
        self.connections = 0
        self.done = asyncio.Event()
        self._says = says
        self._stays_open = stays_open

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.done.clear()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._says)
        await writer.drain()
        if self._stays_open:
            await reader.read()
        writer.close()
        await writer.wait_closed()
        self.done.set()


@contextlib.asynccontextmanager
async def _talking(talker: _Talker) -> AsyncIterator[str]:
    server = await asyncio.start_server(talker, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        await talker.done.wait()


@contextlib.asynccontextmanager
async def _upstream(url: str, silence: float = 30, **options: object) -> AsyncIterator[OpenAIUpstream]:
    upstream = OpenAIUpstream(url, timeouts=Timeouts(connect=30, silence=silence), **options)  # type: ignore[arg-type] # test shorthand
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def _read(upstream: Upstream) -> bytes:
    response = await upstream.send("POST", "/chat/completions", [], b"{}")
    try:
        return b"".join([piece async for piece in response])
    finally:
        await response.aclose()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("http://host/v1/", "http://host/v1"),
        ("https://host/openai/v1", "https://host/openai/v1"),
    ],
)
def test_a_bare_host_gets_the_usual_version(given: str, used: str) -> None:
    assert OpenAIUpstream(given).base_url == used


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "ftp://host/v1", "http://", "http://host/v1?a=1", "http://[x"]
)
def test_a_base_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadSetting, match="base URL"):
        OpenAIUpstream(url)


def test_a_password_in_the_base_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadSetting) as caught:
        OpenAIUpstream("http://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


async def test_nobody_listening_is_unreachable() -> None:
    async with _upstream(f"http://127.0.0.1:{_free_port()}", retry_pause_s=0) as upstream:
        with pytest.raises(UpstreamUnreachable, match="cannot be reached"):
            await _read(upstream)


async def test_an_unknown_host_is_unreachable() -> None:
    async with _upstream("http://no-such-host.invalid/v1", connect_retries=0) as upstream:
        with pytest.raises(UpstreamUnreachable):
            await _read(upstream)


async def test_a_teacher_that_comes_up_in_time_is_reached_by_the_retry() -> None:
    port = _free_port()
    async with _upstream(f"http://127.0.0.1:{port}", connect_retries=3000, retry_pause_s=0.02) as upstream:
        waiting = asyncio.create_task(_read(upstream))
        await asyncio.sleep(0.05)
        async with Server(ScriptedTeacher(), port=port, grace_s=1):
            assert b"chat.completion" in await waiting


@pytest.mark.parametrize(
    "garbage",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\x01\x02", b"HTTP/1.1 abc\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nbad"],
)
async def test_what_is_no_http_is_an_error_and_not_asked_again(garbage: bytes) -> None:
    talker = _Talker(garbage)
    async with _talking(talker) as url, _upstream(url) as upstream:
        with pytest.raises(UpstreamError):
            await _read(upstream)
    assert talker.connections == 1


async def test_a_body_shorter_than_promised_is_an_error() -> None:
    talker = _Talker(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
    async with _talking(talker) as url, _upstream(url) as upstream:
        with pytest.raises(UpstreamError, match="broke off"):
            await _read(upstream)


async def test_broken_chunking_is_an_error() -> None:
    talker = _Talker(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n")
    async with _talking(talker) as url, _upstream(url) as upstream:
        with pytest.raises(UpstreamError):
            await _read(upstream)


async def test_half_a_head_and_silence_is_a_timeout() -> None:
    talker = _Talker(b"HTTP/1.1 200", stays_open=True)
    async with _talking(talker) as url, _upstream(url, silence=0.1) as upstream:
        with pytest.raises(UpstreamTimeout):
            await _read(upstream)


async def test_a_body_without_length_ends_with_the_connection() -> None:
    talker = _Talker(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    async with _talking(talker) as url, _upstream(url) as upstream:
        assert await _read(upstream) == b"all of it"


async def test_a_key_of_ours_replaces_the_clients() -> None:
    teacher = ScriptedTeacher()
    async with (
        Server(teacher, grace_s=1) as server,
        _upstream(server.address.url, api_key="ours") as upstream,
    ):
        fields = [(b"authorization", b"Bearer theirs")]
        response = await upstream.send("POST", "/chat/completions", fields, b"{}")
        await response.aclose()
    assert teacher.heard[0].header("authorization") == "Bearer ours"


async def test_one_clients_cookie_is_not_sent_for_the_next() -> None:
    teacher = ScriptedTeacher(otherwise=Scripted([b"{}"], headers=[(b"set-cookie", b"session=1; Path=/")]))
    async with Server(teacher, grace_s=1) as server, _upstream(server.address.url) as upstream:
        await _read(upstream)
        await _read(upstream)
    assert teacher.heard[1].header("cookie") is None


async def test_a_closed_upstream_opens_again() -> None:
    async with Server(ScriptedTeacher(), grace_s=1) as server, _upstream(server.address.url) as upstream:
        await _read(upstream)
        await upstream.aclose()
        assert b"chat.completion" in await _read(upstream)
