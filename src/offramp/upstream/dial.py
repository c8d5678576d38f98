"""Makes connections to the teacher: name look-up, IPv6 and IPv4 side by side, TLS, Unix sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, TypeVar

import aiohappyeyeballs

from offramp.upstream.errors import CONNECTING, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.upstream.origin import Origin

P = TypeVar("P", bound=asyncio.Protocol)

# RFC 8305, 5: how long one address family gets before the other is tried beside it.
_HEAD_START_S = 0.25
# A model may think for minutes; probes keep what stands between from forgetting the connection meanwhile.
# The official clients ask for the same.
_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5))


class Dialer:
    """Makes connections to one teacher.

    Args:
        origin: The teacher.
        timeout_s: Seconds until a connection stands, name look-up and TLS included.
        tls: How to check the teacher's certificate; None trusts the system's authorities.
        retries: Further tries where no connection could be made.
        pause_s: Seconds before each further try.
    """

    def __init__(
        self, origin: Origin, *, timeout_s: float, tls: ssl.SSLContext | None, retries: int, pause_s: float
    ) -> None:
        self._origin = origin
        self._timeout_s = timeout_s
        self._tls = tls
        self._retries = retries
        self._pause_s = pause_s

    async def dial(self, make: Callable[[], P]) -> P:
        """Connect.

        Args:
            make: Makes the protocol of the connection.

        Raises:
            UpstreamUnreachable: No connection could be made.
        """
        retries_left = self._retries
        while True:
            try:
                return await self._dial_once(make)
            except CONNECTING as error:
                # A certificate does not become valid by asking again.
                if retries_left == 0 or isinstance(error, ssl.SSLError):
                    raise unreachable(error, self._origin.base_url) from error
            retries_left -= 1
            await asyncio.sleep(self._pause_s)

    async def _dial_once(self, make: Callable[[], P]) -> P:
        try:
            async with asyncio.timeout(self._timeout_s):
                transport, protocol = await self._connected(make)
        except TimeoutError as error:
            raise TimeoutError(str(error) or f"no connection within {self._timeout_s:g} s") from error
        if transport.is_closing():
            raise ConnectionResetError("it closed the connection at once")
        return protocol

    async def _connected(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        loop = asyncio.get_running_loop()
        origin = self._origin
        if origin.socket_path:
            return await loop.create_unix_connection(make, origin.socket_path)
        addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        stream = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HEAD_START_S)
        try:
            _tune(stream)
            context = self._context() if origin.tls else None
            name = origin.host if origin.tls else None
            return await loop.create_connection(make, sock=stream, ssl=context, server_hostname=name)
        except BaseException:
            stream.close()
            raise

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _tune(stream: socket.socket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES:
        # Not every system has every one.
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
