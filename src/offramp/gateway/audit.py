"""Audits: the teacher is asked as well, once the client has its answer."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import orjson

from offramp.core.errors import UpstreamError
from offramp.gateway.counters import Metric
from offramp.gateway.wire import Asked, for_teacher
from offramp.gateway.witness import Answered
from offramp.upstream.completions import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.clock import Clock
    from offramp.core.decision import Router, Routing
    from offramp.core.json import JsonObject
    from offramp.gateway.counters import Counters
    from offramp.gateway.witness import Witness
    from offramp.upstream.port import Upstream

_log = logging.getLogger("offramp.gateway")

# Statuses of a teacher that is busy or ill: the same question may be answered later.
_TRY_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
_OK = 200
_STREAMING = frozenset({"stream", "stream_options"})


class Auditor:
    """Asks the teacher what a specialist was asked, in the background, and tells the router.

    Args:
        upstream: The teacher.
        router: Told what the teacher said.
        witness: Takes each audit as a call of its own.
        counters: Where results are counted.
        clock: Time of each audit.
        pauses_s: Pauses before each further try where the teacher is busy or away. An audit that is
            given up for good is counted: missing ones are the busy hours', not a random share.
        at_once: Most audits under way; the rest wait for their turn.
    """

    def __init__(
        self,
        upstream: Upstream,
        router: Router,
        witness: Witness,
        counters: Counters,
        *,
        clock: Clock,
        pauses_s: Sequence[float],
        at_once: int,
    ) -> None:
        self._upstream = upstream
        self._router = router
        self._witness = witness
        self._counters = counters
        self._clock = clock
        self._pauses_s = pauses_s
        self._turns = asyncio.Semaphore(at_once)
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, asked: Asked, request: JsonObject, routing: Routing, call: str) -> None:
        """Start one audit and return at once.

        Args:
            asked: The request as it came.
            request: The same, decoded.
            routing: What the specialist answered.
            call: Id of the specialist's exchange.
        """
        task = asyncio.create_task(self._audit(_question(asked, request), request, routing, call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def aclose(self, grace_s: float) -> None:
        """Let audits under way finish, for ``grace_s`` seconds at most."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _audit(self, asked: Asked, request: JsonObject, routing: Routing, call: str) -> None:
        async with self._turns:
            answered = await self._answered(asked, routing, call)
        teacher = None if answered is None else _decoded(b"".join(answered.pieces))
        if answered is None or teacher is None:
            self._counters.add(Metric.AUDITS, "failed")
            return
        self._witness.take(asked, answered)
        try:
            self._router.observe_audit(routing, request, teacher)
        except Exception:  # noqa: BLE001 - the edge of the router, which may be anybody's
            _log.exception("The router failed on an audit of %s", routing.route)
            self._counters.add(Metric.FAULTS, "router")
            return
        self._counters.add(Metric.AUDITS, "done")

    async def _answered(self, asked: Asked, routing: Routing, call: str) -> Answered | None:
        for pause in (*self._pauses_s, None):
            try:
                answered = await self._ask(asked, routing, call)
            except UpstreamError as error:
                _log.info("An audit of %s got no answer: %s", routing.route, error)
            else:
                if answered.status == _OK:
                    return answered
                _log.info("An audit of %s got status %d", routing.route, answered.status)
                if answered.status not in _TRY_AGAIN:
                    return None
            if pause is not None:
                await asyncio.sleep(pause)
        return None

    async def _ask(self, asked: Asked, routing: Routing, call: str) -> Answered:
        started_at = self._clock.now()
        begun = time.perf_counter()
        headers = for_teacher(asked.headers)
        response = await self._upstream.send(asked.method, asked.path, headers, asked.body)
        try:
            pieces = [piece async for piece in response]
        finally:
            await response.aclose()
        latency_s = time.perf_counter() - begun
        return Answered(
            started_at, latency_s, routing, response.status, response.headers, pieces, audit_of=call
        )


def _question(asked: Asked, request: JsonObject) -> Asked:
    """The same request, its answer wanted in one plain piece."""
    headers = [field for field in asked.headers if field[0] != b"accept-encoding"]
    body = asked.body
    if request.get("stream"):
        body = encode({key: value for key, value in request.items() if key not in _STREAMING})
    return Asked(asked.method, asked.path, headers, body, asked.client)


def _decoded(body: bytes) -> JsonObject | None:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return decoded if isinstance(decoded, dict) else None
