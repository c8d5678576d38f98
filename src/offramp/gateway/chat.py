"""One chat call: decide who answers, answer, record, and audit where the router asks for it."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from offramp.core.decision import Routing
from offramp.gateway.answer import beyond, completion_of, rendered
from offramp.gateway.counters import Metric
from offramp.gateway.witness import TEACHER, Answered

if TYPE_CHECKING:
    from offramp.core.call import Answer
    from offramp.core.clock import Clock
    from offramp.core.decision import Router
    from offramp.core.json import JsonObject
    from offramp.gateway.audit import Auditor
    from offramp.gateway.counters import Counters
    from offramp.gateway.teacher import Teacher
    from offramp.gateway.wire import Asked, Reply
    from offramp.gateway.witness import Witness
    from offramp.upstream.port import Headers

_log = logging.getLogger("offramp.gateway")

TEACHER_ONLY: Headers = [(b"x-offramp-route", TEACHER.encode())]
"""What is added where nobody but the teacher could answer."""

_NOBODY_ELSE = Routing()


class Chat:
    """Answers chat calls: by a specialist where the router has its answer, else by the teacher.

    Args:
        teacher: Answers where no specialist does.
        router: Decides who answers; None: always the teacher.
        auditor: Asks the teacher as well; there has to be one where there is a router.
        witness: Takes every answered call.
        counters: Where calls are counted.
        clock: Time of each call.
    """

    def __init__(
        self,
        teacher: Teacher,
        router: Router | None,
        auditor: Auditor | None,
        witness: Witness,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._teacher = teacher
        self._router = router
        self._auditor = auditor
        self._witness = witness
        self._counters = counters
        self._clock = clock

    async def answer(self, asked: Asked, reply: Reply) -> None:
        """Answer one call."""
        begun = time.perf_counter()
        started_at = self._clock.now()
        routing = _NOBODY_ELSE
        request = self._request_to_route(asked.body)
        try:
            if request is not None:
                routing = await self._routed(request)
            if request is None or routing.answer is None or routing.route == TEACHER:
                await self._ask_teacher(asked, routing, reply)
            else:
                await _answer_as_specialist(request, routing, routing.answer, reply, created=started_at)
        finally:
            latency_s = time.perf_counter() - begun
            answered = Answered(
                started_at, latency_s, routing, reply.status, reply.headers, reply.pieces, reply.complete
            )
            call = self._witness.take(asked, answered)
            self._count(answered)
            if routing.audit and request is not None and self._auditor is not None:
                self._auditor.begin(asked, request, routing, call)

    def _request_to_route(self, body: bytes) -> JsonObject | None:
        """Decode the request where somebody might answer it other than the teacher."""
        if self._router is None or self._router.idle:
            return None
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError:
            # What is wrong with it is the teacher's to say.
            return None
        return request if isinstance(request, dict) else None

    async def _routed(self, request: JsonObject) -> Routing:
        assert self._router is not None
        if reason := beyond(request):
            return Routing(reason=reason)
        try:
            return await self._router.route(request)
        except Exception:  # noqa: BLE001 - the edge of the router, which may be anybody's
            _log.exception("The router failed; the teacher answers")
            self._counters.add(Metric.FAULTS, "router")
            return Routing(reason="router failed")

    async def _ask_teacher(self, asked: Asked, routing: Routing, reply: Reply) -> None:
        if self._witness.watching:
            asked = replace(asked, headers=_readable(asked.headers))
        await self._teacher.answer(asked, reply, extra=_route_fields(routing))

    def _count(self, answered: Answered) -> None:
        routing = answered.routing
        self._counters.add(Metric.CALLS, routing.route)
        self._counters.add(Metric.SECONDS, routing.route, answered.latency_s)
        self._counters.add(Metric.STATUSES, str(answered.status))
        if routing.reason:
            self._counters.add(Metric.DEFERRALS, routing.reason)


async def _answer_as_specialist(
    request: JsonObject, routing: Routing, answer: Answer, reply: Reply, *, created: float
) -> None:
    completion = completion_of(answer, request, created=created)
    content_type, body = rendered(completion, request)
    length = b"%d" % len(body)
    head = [(b"content-type", content_type), (b"content-length", length), *_route_fields(routing)]
    await reply.start(200, head)
    await reply.write(body, last=True)


def _route_fields(routing: Routing) -> Headers:
    """Header fields that tell the client who answered, and why."""
    if routing == _NOBODY_ELSE:
        return TEACHER_ONLY
    fields = [(b"x-offramp-route", _value(routing.route))]
    if routing.task is not None:
        fields.append((b"x-offramp-task", _value(routing.task)))
    if routing.confidence is not None:
        fields.append((b"x-offramp-confidence", b"%.3f" % routing.confidence))
    if routing.reason:
        fields.append((b"x-offramp-reason", _value(routing.reason)))
    return fields


def _value(text: str) -> bytes:
    """Header values are one line of ASCII."""
    return " ".join(text.split()).encode("ascii", "replace")


def _readable(headers: Headers) -> Headers:
    """Let the teacher compress only as the recorder can read."""
    return [
        (name, (b"gzip" if b"gzip" in value else b"identity") if name == b"accept-encoding" else value)
        for name, value in headers
    ]
