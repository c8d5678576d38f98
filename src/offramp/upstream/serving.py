"""Serves an ASGI app on a socket: until a signal for the command line, or inside any running loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

import uvicorn

from offramp.core.errors import AddressInUse, BadSetting
from offramp.upstream.asgi import App, Receive, Scope, Send, error_payload, send_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

_log = logging.getLogger("offramp.serving")

# Longer than clients keep idle connections themselves, so that it is they who close first.
_KEEP_ALIVE_S = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 2048
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        host: Host name or address as it was asked for.
        port: The real port, also where 0 was asked for.
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        """The server's root, without a slash at the end."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


class Front(Protocol):
    """Speaks HTTP itself: makes a protocol for every connection, and ends them all."""

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of one connection."""
        ...

    async def close(self, grace_s: float, hurry: asyncio.Event) -> None:
        """Let calls under way finish for ``grace_s`` seconds, or until ``hurry`` is set; then cut them."""
        ...


@runtime_checkable
class Fronted(Protocol):
    """An app with a front of its own."""

    def front(self) -> Front:
        """Return a new front."""
        ...


class Server:
    """One app on one address, inside the running event loop.

    Use it as an asynchronous context manager: it listens inside the block.

    Args:
        app: The ASGI application, served by uvicorn; what it raises is logged and answered with a JSON
            error. One with a front of its own is served by that.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        grace_s: Seconds that calls in flight get when the server stops.

    Raises:
        AddressInUse: On entering: another process listens there.
        BadSetting: On entering: the address cannot be listened on at all.
    """

    def __init__(
        self, app: App | Fronted, *, host: str = "127.0.0.1", port: int = 0, grace_s: float = 10.0
    ) -> None:
        self.address = Address(host, port)
        self._server = (
            _Own(app.front(), grace_s)
            if isinstance(app, Fronted)
            else _Uvicorn(_config(_Guarded(app), grace_s))
        )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        listener = _listening(self.address.host, self.address.port)
        self.address = Address(self.address.host, listener.getsockname()[1])
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._running.add_done_callback(lambda _: self._server.ready.set())
        await self._server.ready.wait()
        if self._running.done():
            await self._running
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.stop()
        await self.wait()

    def stop(self) -> None:
        """Take no more connections and finish the calls in flight; a second time: drop those too."""
        self._server.force_exit = self._server.stopping.is_set()
        self._server.stopping.set()

    async def wait(self) -> None:
        """Wait until the server has stopped."""
        if self._running is not None:
            await self._running


async def serve(
    app: App | Fronted,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    grace_s: float = 10.0,
    on_ready: Callable[[Address], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the calls in flight; a second signal drops them.

    ``run(serve(app, port=8080))`` is the blocking form.

    Args:
        app: The ASGI application, or one with a front of its own.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        grace_s: Seconds that calls in flight get at the end.
        on_ready: Called with the real address once connections are taken.

    Raises:
        AddressInUse: Another process listens there.
        BadSetting: The address cannot be listened on at all.
    """
    loop = asyncio.get_running_loop()
    server = Server(app, host=host, port=port, grace_s=grace_s)
    async with server:
        for number in _SIGNALS:
            loop.add_signal_handler(number, server.stop)
        try:
            if on_ready is not None:
                on_ready(server.address)
            await server.wait()
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on the fastest event loop there is, and return its result."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not installed on Windows

    return uvloop.new_event_loop


class _Own:
    """An app's own front, run as :class:`_Uvicorn` is."""

    def __init__(self, front: Front, grace_s: float) -> None:
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._front = front
        self._grace_s = grace_s

    @property
    def force_exit(self) -> bool:
        """Whether calls under way are dropped."""
        return self._hurry.is_set()

    @force_exit.setter
    def force_exit(self, force: bool) -> None:
        if force:
            self._hurry.set()

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve until ``stopping`` is set."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._front, sock=sockets[0], backlog=_BACKLOG)
        self.ready.set()
        try:
            await self.stopping.wait()
        finally:
            server.close()
            await self._front.close(self._grace_s, self._hurry)


class _Uvicorn(uvicorn.Server):
    """Uvicorn with events where it polls, and without its signals, which it would raise again at the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _config(app: App, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        # What an app owns is opened and closed around its server, where errors can be raised.
        lifespan="off",
        # Logging is ours; uvicorn's lines about cut responses would repeat what the app logs.
        log_config=None,
        log_level="critical",
        access_log=False,
        # The teacher's own fields pass through; a second Date or Server would change its answer.
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )


class _Guarded:
    """The process edge: an app that raises is logged and answers 500."""

    __slots__ = ("_app",)

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:  # noqa: BLE001 - the process edge
            _log.exception("%s %s failed", scope["method"], scope["path"])
            failed = error_payload(
                "offramp failed on this request; its log says why.", kind="api_error", code="internal_error"
            )
            # Once a response has begun it cannot become an error: uvicorn refuses, and cuts the connection.
            with contextlib.suppress(RuntimeError):
                await send_json(send, 500, failed)


def _listening(host: str, port: int) -> socket.socket:
    """Listen before anything starts, so that a taken port is one clear error."""
    if not 0 <= port <= _LAST_PORT:
        raise BadSetting(
            f"Cannot listen on {host}:{port}: a port is 0 to {_LAST_PORT}.", hint="0 takes a free one."
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _bind_error(host, port, error) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _bind_error(host, port, error) from error
    return listener


def _bind_error(host: str, port: int, error: OSError) -> AddressInUse | BadSetting:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"Port {port} on {host} is taken by another process.",
            hint="Stop that process, or choose another port (0 takes a free one).",
        )
    return BadSetting(
        f"Cannot listen on {host}:{port}: {error}.",
        hint="Give an address of this machine and a port above 1023 (0 takes a free one).",
    )
