"""CPU microseconds per request, and per streamed event, of the ways to the teacher.

    .venv/bin/python bench/upstream_client.py [--requests 4000] [--rounds 5] [--loop asyncio]

A raw ``asyncio.Protocol`` server in a process of its own answers 2 KB requests with 1 KB (keep-alive), or
with 67 events of 250 bytes, chunked, each written by itself 2 ms after the one before. Counted is the CPU
time of this process, user and system, which holds nothing but the client; clients take turns in every round,
and the best round is printed: on a shared machine the others measure the neighbours. "socket" is the floor:
one write, one read, one future, no HTTP. httpx2 is measured where it is installed. Loopback, no TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.util
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.pool import PooledUpstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.upstream.port import Headers, Upstream

_BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 1990 + b'"}]}'
_HEADERS: Headers = [
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"OpenAI/Python 3.54.0"),
    (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef"),
    (b"content-type", b"application/json"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-runtime", b"CPython"),
    (b"content-length", b"%d" % len(_BODY)),
]
_ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"' + b"y" * 960 + b'"}}]}'
_WHOLE = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2026 00:00:00 GMT\r\nserver: x\r\n"
    b"content-type: application/json\r\nx-request-id: req_0123456789\r\nopenai-processing-ms: 12\r\n"
    b"x-ratelimit-remaining-requests: 999\r\ncontent-length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
)
_EVENTS = 67
_EVENT = b"data: " + b"z" * 242 + b"\n\n"
_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_0\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_PAUSE_S = 0.002


class _Teacher(asyncio.Protocol):
    """The least a server can do."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if found and len(rest) >= len(_BODY):
            self._buffer = b""
            if b"/stream" in head[:40]:
                self._transport.write(_STREAM_HEAD)
                self._stream(_EVENTS)
            else:
                self._transport.write(_WHOLE)

    def _stream(self, left: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_CHUNK if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(_PAUSE_S, self._stream, left - 1)


class _Way(Protocol):
    """One client under measurement."""

    async def ask(self, path: str) -> None: ...
    async def aclose(self) -> None: ...


class _OverPort:
    """A client behind offramp's port."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def ask(self, path: str) -> None:
        response = await self._upstream.send("POST", path, _HEADERS, _BODY)
        async for _ in response:
            pass
        await response.aclose()

    async def aclose(self) -> None:
        await self._upstream.aclose()


class _OverHttpx2:
    """httpx2's own client, raw bytes."""

    def __init__(self, url: str) -> None:
        httpx2 = importlib.import_module("httpx2")
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx2.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False)
        self._headers = [field for field in _HEADERS if field[0] not in {b"connection", b"content-length"}]

    async def ask(self, path: str) -> None:
        async with self._client.stream("POST", path, headers=self._headers, content=_BODY) as response:
            async for _ in response.aiter_raw():
                pass

    async def aclose(self) -> None:
        await self._client.aclose()


class _OverSocket:
    """No HTTP at all: what the event loop and the kernel cost."""

    def __init__(self, url: str) -> None:
        self._port = int(url.split(":")[2].partition("/")[0])
        self._idle: list[_Socket] = []

    async def ask(self, path: str) -> None:
        loop = asyncio.get_running_loop()
        if not self._idle:
            self._idle.append((await loop.create_connection(_Socket, "127.0.0.1", self._port))[1])
        sock = self._idle.pop()
        sock.ended = b"0\r\n\r\n" if path == "/stream" else b"}}]}"
        sock.heard = loop.create_future()
        sock.transport.write(b"POST /v1%b HTTP/1.1\r\n\r\n%b" % (path.encode(), _BODY))
        await sock.heard
        self._idle.append(sock)

    async def aclose(self) -> None:
        for sock in self._idle:
            sock.transport.abort()


class _Socket(asyncio.Protocol):
    heard: asyncio.Future[None]
    ended: bytes

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(self.ended):
            self.heard.set_result(None)


async def _measure(way: _Way, path: str, *, calls: int, at_once: int) -> float:
    """Return CPU seconds of this process for that many calls."""
    left = calls

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await way.ask(path)

    await asyncio.gather(*(way.ask(path) for _ in range(at_once)))
    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return time.process_time() - began


@contextlib.contextmanager
def _teacher() -> Iterator[str]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Teacher, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _compare(requests: int, rounds: int, loop_name: str) -> None:
    columns = [("/plain", requests // 2, 1), ("/plain", requests, 16), ("/plain", requests, 64)]
    columns.append(("/stream", 64, 16))
    best: dict[tuple[str, int], float] = {}
    with _teacher() as url:
        ways: dict[str, _Way] = {
            "socket": _OverSocket(url),
            "pool": _OverPort(PooledUpstream(url)),
            "aiohttp": _OverPort(OpenAIUpstream(url)),
        }
        if importlib.util.find_spec("httpx2"):
            ways["httpx2"] = _OverHttpx2(url)
        for _ in range(rounds):
            for name, way in ways.items():
                for column, (path, calls, at_once) in enumerate(columns):
                    seconds = await _measure(way, path, calls=calls, at_once=at_once)
                    figure = seconds / (calls * _EVENTS if path == "/stream" else calls) * 1e6
                    best[name, column] = min(figure, best.get((name, column), figure))
        for way in ways.values():
            await way.aclose()
    build = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    print(f"CPU us of the client, best of {rounds} rounds; {build}; {loop_name}")
    print(f"{'client':<10}{'request, 1':>12}{'16':>8}{'64 at once':>12}{'event, 16 streams':>20}")
    for name in ways:
        one, sixteen, many, event = (best[name, column] for column in range(4))
        print(f"{name:<10}{one:>12.1f}{sixteen:>8.1f}{many:>12.1f}{event:>20.1f}")


def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = _serve() if options.serve else _compare(options.requests, options.rounds, options.loop)
    plain = options.loop == "asyncio" and not options.serve
    with asyncio.Runner(loop_factory=None if plain else uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    _main()
