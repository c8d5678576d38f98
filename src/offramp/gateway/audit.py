"""Audits: the teacher is asked as well, once the client has its answer."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import Busy, OfframpError, UpstreamError
from offramp.dialect.codec import decode, encode
from offramp.gateway.counters import Metric
from offramp.gateway.course import Course
from offramp.gateway.splice import splice_model
from offramp.gateway.wire import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.clock import Clock
    from offramp.core.decision import Router
    from offramp.core.json import JsonObject
    from offramp.dialect import Form
    from offramp.gateway.counters import Counters
    from offramp.gateway.teacher import Teacher
    from offramp.gateway.witness import Witness
    from offramp.upstream.port import Headers

_log = logging.getLogger("offramp.gateway")

# Statuses of a teacher that is busy or ill: the same question may be answered later.
_TRY_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
_OK = 200
_STREAMING = frozenset({"stream", "stream_options"})


class Auditor:
    """Asks the teacher what a specialist was asked, in the background, and tells the router.

    Args:
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
        router: Router,
        witness: Witness,
        counters: Counters,
        *,
        clock: Clock,
        pauses_s: Sequence[float],
        at_once: int,
    ) -> None:
        self._router = router
        self._witness = witness
        self._counters = counters
        self._clock = clock
        self._pauses_s = pauses_s
        self._turns = asyncio.Semaphore(at_once)
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, course: Course, request: JsonObject, form: Form, teacher: Teacher) -> None:
        """Start one audit and return at once.

        Args:
            course: The call that a specialist answered.
            request: Its request, decoded.
            form: Its dialect.
            teacher: Who is asked.
        """
        question = _Question(
            _plain(course.asked, course.caller.forward, request), course, request, form, teacher
        )
        task = asyncio.create_task(self._audit(question))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def aclose(self, grace_s: float) -> None:
        """Let audits under way finish, for ``grace_s`` seconds at most."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _audit(self, question: _Question) -> None:
        async with self._turns:
            audit = await self._answered(question)
        body = None if audit is None else decode(b"".join(audit.pieces))
        if audit is None or not isinstance(body, dict):
            self._counters.add(Metric.AUDITS, "failed")
            return
        self._witness.take(audit, complete=True)
        routing, form = question.course.routing, question.form
        try:
            request, teacher = form.to_chat(question.request), form.chat_response(body)
            await self._router.observe_audit(routing, request, teacher)
        except OfframpError as error:
            _log.warning("An audit of %s could not be compared: %s", routing.route, error)
            self._counters.add(Metric.AUDITS, "failed")
            return
        except Exception:  # noqa: BLE001 - the edge of the router, which may be anybody's
            _log.exception("The router failed on an audit of %s", routing.route)
            self._counters.add(Metric.FAULTS, "router")
            return
        self._counters.add(Metric.AUDITS, "done")

    async def _answered(self, question: _Question) -> Course | None:
        route = question.course.routing.route
        for pause in (*self._pauses_s, None):
            try:
                audit = await self._ask(question)
            except (UpstreamError, Busy) as error:
                _log.info("An audit of %s got no answer: %s", route, error)
            else:
                if audit.status == _OK:
                    return audit
                _log.info("An audit of %s got status %d", route, audit.status)
                if audit.status not in _TRY_AGAIN:
                    return None
            if pause is not None:
                await asyncio.sleep(pause)
        return None

    async def _ask(self, question: _Question) -> Course:
        asked, about = question.asked, question.course
        audit = Course(
            asked,
            about.caller,
            about.dialect,
            started_at=self._clock.now(),
            routing=about.routing,
            audit_of=about.id if about.recorded else "",
        )
        standing = None
        if about.standing is not None:
            # Nobody waits for it: it must not stand before those for whom somebody does.
            model = question.request.get("model")
            standing = about.standing.as_batch(time.monotonic(), str(model or ""))
        place = await question.teacher.place(standing)
        body = asked.body if place.model is None else splice_model(asked.body, place.model)
        path = asked.target.removeprefix("/v1")
        answered = False
        try:
            response = await place.upstream.send(asked.method, path, asked.headers, body)
            try:
                audit.pieces = [piece async for piece in response]
                answered = True
            finally:
                await response.aclose()
        finally:
            place.leave(answered=answered)
        audit.begin(response.status, response.headers)
        audit.end()
        return audit


@dataclass(frozen=True, slots=True)
class _Question:
    """What an audit asks.

    Attributes:
        asked: The request, its answer wanted in one plain piece.
        course: The specialist's call.
        request: Its request, decoded.
        form: Its dialect.
        teacher: Who is asked.
    """

    asked: Asked
    course: Course
    request: JsonObject
    form: Form
    teacher: Teacher


def _plain(asked: Asked, forward: Headers, request: JsonObject) -> Asked:
    """The same request, its answer wanted in one plain piece."""
    headers = [field for field in forward if field[0] != b"accept-encoding"]
    body = asked.body
    if request.get("stream"):
        body = encode({key: value for key, value in request.items() if key not in _STREAMING})
    return Asked(asked.method, asked.target, headers, body, asked.client)
