"""A gateway before a teacher that counts what it hears, byte for byte, and odd bytes to send it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httptools

from offramp.gateway import Gateway, Limits
from offramp.gateway.front import Front, Patience
from offramp.testing.raw_server import RawServer
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from offramp.gateway.problem import Problem
    from offramp.gateway.wire import Asked, Reply
    from offramp.testing.raw_server import Talk
    from offramp.upstream.port import Headers

Seen = tuple[str, str, bytes]
"""Method, target and body."""

_LINE = re.compile(rb"([!-~]+) /v1(/[!-~\x80-\xff]*) HTTP/1\.1")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_BARE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
SHORT = Patience(idle=0.15, head=0.1, body=0.1, stalled=1.0, lingering=0.1)


@dataclass(slots=True)
class World:
    """What a gateway took for requests, and what its teacher did.

    Attributes:
        gateway: The gateway.
        asked: Requests below ``/v1``, as the front read them.
        heard: Requests that reached the teacher, as their bytes say.
        faults: Requests to the teacher that are none.
    """

    gateway: Gateway | None = None
    asked: list[Seen] = field(default_factory=list)
    heard: list[Seen] = field(default_factory=list)
    faults: list[bytes] = field(default_factory=list)
    port: int = 0

    async def answer(self, asked: Asked, reply: Reply) -> None:
        """Note a request and let the gateway answer it."""
        assert self.gateway is not None
        if asked.target.startswith("/v1/"):
            self.asked.append((asked.method, asked.target, asked.body))
        await self.gateway.answer(asked, reply)

    def tell(self, target: str, problem: Problem) -> tuple[Headers, bytes]:
        """See :class:`offramp.gateway.front.Core`."""
        assert self.gateway is not None
        return self.gateway.tell(target, problem)

    def gone(self) -> None:
        """See :class:`offramp.gateway.front.Core`."""

    def front(self) -> Front:
        """Return a front that is soon tired of waiting."""
        return Front(self, 1 << 16, SHORT)

    def invented(self) -> list[Seen]:
        """Return what reached the teacher without having been asked for."""
        return list((Counter(self.heard) - Counter(self.asked)).elements())

    async def teach(self, talk: Talk) -> None:
        """Hear requests, and answer each."""
        while True:
            request = await talk.hear()
            line = _LINE.fullmatch(request.head.partition(b"\r\n")[0])
            if line is None:
                self.faults.append(request.head)
                return
            method, path = line[1].decode(), line[2].decode("latin-1")
            self.heard.append((method, "/v1" + path, request.body))
            await talk.say(_BARE if method == "HEAD" else _ANSWER)

    async def tell_raw(self, raw: bytes, cuts: list[int]) -> bytes:
        """Send bytes on a connection of its own, in pieces; return all that came back until it was closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
            for at, first in enumerate(places[:-1]):
                writer.write(raw[first : places[at + 1]])
                await asyncio.sleep(0)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def first_status(self, raw: bytes) -> int:
        """Send bytes on a connection of its own; return the status of the first answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            async with asyncio.timeout(10):
                return int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def odd_world(*, asgi: bool = False) -> AsyncIterator[World]:
    """A world, behind the gateway's own front or behind uvicorn."""
    world = World()
    async with contextlib.AsyncExitStack() as stack:
        raw = await stack.enter_async_context(RawServer(world.teach))
        upstream = PooledUpstream(raw.url, timeouts=Timeouts(connect=5, silence=5))
        stack.push_async_callback(upstream.aclose)
        world.gateway = Gateway(upstream, limits=Limits(body_bytes=1 << 16))
        app = world.gateway.__call__ if asgi else world
        server = await stack.enter_async_context(Server(app, grace_s=0.1))
        world.port = server.address.port
        yield world


class _Reader:
    """Counts the responses in what a client heard."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.parser = httptools.HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        self.statuses.append(self.parser.get_status_code())


def statuses(answers: bytes) -> list[int]:
    """Return the status of each response; bodies of answers to HEAD are not expected in it.

    Raises:
        httptools.HttpParserError: It is no HTTP.
    """
    reader = _Reader()
    reader.parser.feed_data(answers)
    return reader.statuses
