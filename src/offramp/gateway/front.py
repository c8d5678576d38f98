"""HTTP/1.1 in front of the gateway: one task for a connection, one write for a short answer.

It stands in for a general server for one reason, measured in docs/gateway.md: it costs a fraction of one.
What a request is, llhttp's strict parser decides, and the few rules of :mod:`offramp.gateway.head`; whatever
is doubtful is refused and the connection closed.
"""

from __future__ import annotations

import asyncio
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Protocol

from offramp.gateway.connection import Connection
from offramp.gateway.head import Names

if TYPE_CHECKING:
    from offramp.gateway.problem import Problem
    from offramp.gateway.wire import Asked, Reply
    from offramp.upstream.port import Headers

_SWEEP_S = 1.0
_PARTING_S = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the gateway waits for a client, in seconds.

    Attributes:
        idle: For the next request on a connection; longer than clients keep theirs, so that they close first.
        head: For the whole head of a request.
        body: For the next piece of a request's body.
        stalled: For a client that does not take its answer.
        lingering: For a client that still sends what was refused.
    """

    idle: float = 75.0
    head: float = 30.0
    body: float = 60.0
    stalled: float = 300.0
    lingering: float = 5.0


class Core(Protocol):
    """What a front speaks for."""

    async def answer(self, asked: Asked, reply: Reply) -> None:
        """Answer one request; cancelled where its client leaves."""
        ...

    def tell(self, target: str, problem: Problem) -> tuple[Headers, bytes]:
        """Return header fields, without the length, and body of an error of the front's own."""
        ...

    def gone(self) -> None:
        """Take note of a client that left before its answer was complete."""
        ...


class Front:
    """Makes a protocol for every accepted connection, and ends them all.

    Args:
        core: Answers the requests.
        body_bytes: Largest request body.
        patience: How long clients are waited for.

    Attributes:
        connections: The open ones.
        names: Names of header fields, in lower case.
    """

    def __init__(self, core: Core, body_bytes: int, patience: Patience) -> None:
        self.core = core
        self.body_bytes = body_bytes
        self.patience = patience
        self.connections: set[Connection] = set()
        self.names = Names()
        self._sweeping: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self._pause_s = min(_SWEEP_S, *(seconds / 2 for seconds in astuple(patience)))

    def __call__(self) -> Connection:
        """Make the protocol of one connection."""
        return Connection(self)

    def joined(self, connection: Connection) -> None:
        """Take note of a connection that was made."""
        self.connections.add(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._pause_s, self._sweep)

    def left(self, connection: Connection) -> None:
        """Take note of a connection that is closed and has nothing left to do."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def _sweep(self) -> None:
        """One timer for all connections costs less than one for each request."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            connection.look_at_the_clock(now)
        if self.connections:
            self._sweeping = loop.call_later(self._pause_s, self._sweep)

    async def close(self, grace_s: float, hurry: asyncio.Event) -> None:
        """Close idle connections, let calls under way finish, and cut what outlasts the grace.

        Args:
            grace_s: Seconds that calls under way get.
            hurry: Ends the grace when it is set.
        """
        for connection in list(self.connections):
            connection.finish()
        await self._wait(grace_s, hurry)
        for connection in list(self.connections):
            connection.cut()
        await self._wait(_PARTING_S, asyncio.Event())
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _wait(self, seconds: float, hurry: asyncio.Event) -> None:
        self._emptied.clear()
        if not self.connections:
            return
        waiting = [asyncio.ensure_future(self._emptied.wait()), asyncio.ensure_future(hurry.wait())]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiting:
            waiter.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
