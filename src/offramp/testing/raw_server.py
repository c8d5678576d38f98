"""A server that says exactly the bytes a test wrote down, when it wrote them down, HTTP or not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Script = Callable[["Talk"], Awaitable[None]]

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came off the wire.

    Attributes:
        head: Request line and fields, the empty line included.
        body: As many bytes as its ``Content-Length`` says.
    """

    head: bytes
    body: bytes


class Talk:
    """One connection, for the script that runs it.

    Args:
        number: How many connections were there before it.
        reader: What the client says.
        writer: What the client hears.
    """

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self._reader = reader
        self._writer = writer

    async def hear(self) -> Request:
        """Read one request.

        Raises:
            asyncio.IncompleteReadError: The client closed before its end.
        """
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return Request(head, await self._reader.readexactly(length))

    async def hear_head(self) -> bytes:
        """Read a request's head, and leave its body unread."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def say(self, data: bytes) -> None:
        """Send bytes, in a segment of their own where the other side reads in between."""
        self._writer.write(data)
        await self._writer.drain()

    async def gone(self) -> None:
        """Wait until the client closes; what it says until then is read over."""
        with contextlib.suppress(OSError):
            while await self._reader.read(1 << 16):
                pass

    def half_close(self) -> None:
        """Say that nothing more will be said."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        stream = self._writer.get_extra_info("socket")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._writer.transport.abort()


class RawServer:
    """Runs a script for every connection.

    Use it as an asynchronous context manager: it listens inside the block, and at the end waits for the
    scripts under way, so that a connection the client forgot to close makes the test hang, and fail.

    Args:
        script: What to do with a connection; it is closed when the script ends.
        tls: Speak TLS with this certificate.
        socket_path: Listen on this Unix socket instead of a port.
        host: Address to listen on.
    """

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        socket_path: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        self.connections = 0
        self._script = script
        self._tls = tls
        self._socket_path = socket_path
        self._host = host
        self._talks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        if self._socket_path:
            self._server = await asyncio.start_unix_server(self._welcome, self._socket_path)
        else:
            self._server = await asyncio.start_server(self._welcome, self._host, 0, ssl=self._tls)
        return self

    async def __aexit__(self, kind: object, *rest: object) -> None:
        self._server.close()
        if kind is not None:
            for talk in self._talks:
                talk.cancel()
        async with asyncio.timeout(30):
            await asyncio.gather(*self._talks, return_exceptions=True)
        if self._failures and kind is None:
            raise self._failures[0]

    @property
    def port(self) -> int:
        """The port it listens on."""
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def url(self) -> str:
        """The base URL for an upstream."""
        if self._socket_path:
            return f"http+unix://{self._socket_path.replace('/', '%2F')}/v1"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'s' if self._tls else ''}://{host}:{self.port}/v1"

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        number, self.connections = self.connections, self.connections + 1
        try:
            await self._script(Talk(number, reader, writer))
        except (asyncio.IncompleteReadError, OSError):
            # The client went while it was listened to: nothing to say to it.
            pass
        except AssertionError as failure:
            self._failures.append(failure)
        finally:
            self._talks.discard(talk)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def answering(*pieces: bytes) -> Script:
    """Answer every request of a connection with these bytes."""

    async def script(talk: Talk) -> None:
        while True:
            await talk.hear()
            for piece in pieces:
                await talk.say(piece)

    return script


def answering_once(*pieces: bytes) -> Script:
    """Answer one request with these bytes, then close."""

    async def script(talk: Talk) -> None:
        await talk.hear()
        for piece in pieces:
            await talk.say(piece)

    return script
