"""CPU microseconds per request, and per streamed event, of the ways to the teacher.

    .venv/bin/python bench/upstream_client.py [--requests 4000] [--rounds 3]

A raw ``asyncio.Protocol`` server in a process of its own answers 2 KB requests with 1 KB (keep-alive), or with
67 events of 250 bytes, chunked, each written by itself 2 ms after the one before. Counted is the CPU time of
this process, user and system, which holds nothing but the client; clients take turns in every round, and the
median round is printed. httpx2 is measured where it is installed. Loopback, no TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import platform
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.pool import PooledUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offramp.upstream.port import Headers, Upstream

BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 1990 + b'"}]}'
HEADERS: Headers = [
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"OpenAI/Python 3.54.0"),
    (b"authorization", b"Bearer sk-0123456789abcdef0123456789abcdef"),
    (b"content-type", b"application/json"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-runtime", b"CPython"),
    (b"content-length", b"%d" % len(BODY)),
]
ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"' + b"y" * 960 + b'"}}]}'
WHOLE = (
    b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2026 00:00:00 GMT\r\nserver: x\r\ncontent-type: application/json\r\n"
    b"x-request-id: req_0123456789\r\nopenai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 999\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
)
EVENTS = 67
EVENT = b"data: " + b"z" * 242 + b"\n\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_0\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
EVENT_PAUSE_S = 0.002


class Teacher(asyncio.Protocol):
    """The least a server can do."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if found and len(rest) >= len(BODY):
            self.buffer = b""
            if b"/stream" in head[:40]:
                self.transport.write(STREAM_HEAD)
                self.stream(EVENTS)
            else:
                self.transport.write(WHOLE)

    def stream(self, left: int) -> None:
        self.transport.write(CHUNK if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(EVENT_PAUSE_S, self.stream, left - 1)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Teacher, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Way(Protocol):
    """One client under measurement."""

    async def ask(self, path: str) -> int: ...
    async def aclose(self) -> None: ...


class OverPort:
    """A client behind offramp's port."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    async def ask(self, path: str) -> int:
        response = await self.upstream.send("POST", path, HEADERS, BODY)
        size = 0
        async for piece in response:
            size += len(piece)
        await response.aclose()
        return size

    async def aclose(self) -> None:
        await self.upstream.aclose()


class OverHttpx2:
    """httpx2's own client, raw bytes."""

    def __init__(self, url: str) -> None:
        import httpx2

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self.client = httpx2.AsyncClient(base_url=url, limits=limits, timeout=60, trust_env=False)
        self.headers = [field for field in HEADERS if field[0] not in {b"connection", b"content-length"}]

    async def ask(self, path: str) -> int:
        size = 0
        async with self.client.stream("POST", path, headers=self.headers, content=BODY) as response:
            async for piece in response.aiter_raw():
                size += len(piece)
        return size

    async def aclose(self) -> None:
        await self.client.aclose()


async def measure(way: Way, path: str, *, calls: int, at_once: int) -> float:
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


@contextlib.asynccontextmanager
async def teacher() -> AsyncIterator[str]:
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


async def compare(requests: int, rounds: int, loop_name: str) -> None:
    columns = [("/plain", requests // 2, 1), ("/plain", requests, 16), ("/plain", requests, 64), ("/stream", 64, 16)]
    async with teacher() as url:
        ways: dict[str, Way] = {
            "pool": OverPort(PooledUpstream(url)),
            "aiohttp": OverPort(OpenAIUpstream(url)),
        }
        if importlib.util.find_spec("httpx2"):
            ways["httpx2"] = OverHttpx2(url)
        figures: dict[tuple[str, int], list[float]] = {}
        for _ in range(rounds):
            for name, way in ways.items():
                for column, (path, calls, at_once) in enumerate(columns):
                    seconds = await measure(way, path, calls=calls, at_once=at_once)
                    units = calls * EVENTS if path == "/stream" else calls
                    figures.setdefault((name, column), []).append(seconds / units * 1e6)
        for way in ways.values():
            await way.aclose()
    print(f"CPU us of the client, median of {rounds} rounds; {platform.python_implementation()} "
          f"{platform.python_version()} ({platform.python_compiler()}), {loop_name}")
    print(f"{'client':<10}{'request, 1':>12}{'16':>8}{'64 at once':>12}{'event, 16 streams':>20}")
    for name in ways:
        one, sixteen, many, event = (statistics.median(figures[name, column]) for column in range(4))
        print(f"{name:<10}{one:>12.1f}{sixteen:>8.1f}{many:>12.1f}{event:>20.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = serve() if options.serve else compare(options.requests, options.rounds, options.loop)
    factory = None if options.loop == "asyncio" and not options.serve else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(work)


if __name__ == "__main__":
    main()
