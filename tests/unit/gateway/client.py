"""A front on a real socket, a core behind it that answers with what it was asked, and a client of bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.core.call import Dialect
from offramp.dialect import form_of
from offramp.gateway.front import Front, Patience
from offramp.gateway.problem import Problem, told
from offramp.gateway.wire import UNKNOWN, send_whole
from offramp.upstream.serving import Fronted, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from offramp.gateway.wire import Asked, Reply
    from offramp.upstream.port import Headers

HOST = b"Host: h\r\n"
BIG = 16 << 20
"""Bytes of the answer to ``/big``."""


@dataclass(slots=True)
class Core:
    """Answers with what it was asked; some paths behave badly."""

    heard: list[Asked] = field(default_factory=list)
    left: int = 0
    cancelled: int = 0

    async def answer(self, asked: Asked, reply: Reply) -> None:
        self.heard.append(asked)
        try:
            await self._answer(asked, reply)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _answer(self, asked: Asked, reply: Reply) -> None:
        path = asked.target.partition("?")[0]
        if path.startswith("/wait"):
            await asyncio.sleep(float(path[5:] or 60))
        if path == "/broken":
            raise RuntimeError("a bug")
        if path == "/big":
            await send_whole(reply, 200, [], bytes(BIG))
            return
        if path in {"/stream", "/half", "/flood", "/halfbroken", "/drip"}:
            await self._stream(path, reply)
            return
        told = {"method": asked.method, "target": asked.target, "body": asked.body.decode("latin-1")}
        await send_whole(reply, 200, [(b"content-type", b"application/json")], json.dumps(told).encode())

    async def _stream(self, path: str, reply: Reply) -> None:
        reply.start(200, [(b"content-type", b"text/event-stream")], UNKNOWN)
        await reply.write(b"data: 1\n\n", last=False)
        if path == "/halfbroken":
            raise RuntimeError("a bug")
        if path == "/half":
            await asyncio.sleep(60)
        while path == "/drip":
            await reply.write(b"x", last=False)
            await asyncio.sleep(0)
        while path == "/flood":
            await reply.write(b"x" * 65536, last=False)
        await reply.write(b"data: 2\n\n", last=False)
        await reply.write(b"", last=True)

    def tell(self, target: str, problem: Problem) -> tuple[Headers, bytes]:
        del target
        return told(problem, form_of(Dialect.CHAT))

    def gone(self) -> None:
        self.left += 1

    def front(self) -> Front:
        self.fronts.append(Front(self, 1 << 20, self.patience))
        return self.fronts[-1]

    fronts: list[Front] = field(default_factory=list)
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True)
class Line:
    """A client's connection, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in raw[1:] if line)
        return int(raw[0].split(" ")[1]), fields

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, fields = await self.head()
        if "content-length" in fields:
            return status, fields, await self.reader.readexactly(int(fields["content-length"]))
        body = b""
        if fields.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.read()
        return status, fields, body

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        await self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""


@contextlib.asynccontextmanager
async def served(core: Fronted, *, grace_s: float = 1.0) -> AsyncIterator[Line]:
    async with Server(core, grace_s=grace_s) as server, line_to(server) as line:
        yield line


@contextlib.asynccontextmanager
async def line_to(server: Server) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the other side sets no event
            await asyncio.sleep(0.002)


def get(path: bytes, *fields: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def post(body: bytes) -> bytes:
    return b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body
