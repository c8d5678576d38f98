"""Calls of one dialect: decide who answers, answer, record, and audit where the router asks for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from offramp.core.decision import Routing
from offramp.dialect import completion_of
from offramp.gateway.counters import Metric
from offramp.gateway.course import TEACHER, Course
from offramp.gateway.splice import splice_model

if TYPE_CHECKING:
    from offramp.core.call import Answer
    from offramp.core.clock import Clock
    from offramp.core.decision import Router
    from offramp.core.json import JsonObject
    from offramp.dialect import Form
    from offramp.gateway.audit import Auditor
    from offramp.gateway.caller import Caller
    from offramp.gateway.counters import Counters
    from offramp.gateway.standings import Standings
    from offramp.gateway.teacher import Teacher
    from offramp.gateway.wire import Asked, Reply
    from offramp.gateway.witness import Witness
    from offramp.upstream.port import Headers

_log = logging.getLogger("offramp.gateway")

BY_TEACHER = (b"x-offramp-route", TEACHER.encode())
"""The field that says who answered, where nobody else could."""

_FIRST_ERROR = 400
_OK = 200
_SHALLOW = 200


@dataclass(frozen=True, slots=True)
class Desk:
    """What every dialect's calls are answered with.

    Attributes:
        router: Decides who answers; None: always the teacher.
        auditor: Asks the teacher as well; there has to be one where there is a router.
        witness: Takes every answered call.
        counters: Where calls are counted.
        clock: Time of each call.
        standings: Read how urgent calls are; None schedules nothing.
    """

    router: Router | None
    auditor: Auditor | None
    witness: Witness
    counters: Counters
    clock: Clock
    standings: Standings | None = None


class Calls:
    """Answers calls of one dialect: by a specialist where the router has its answer, else by the teacher.

    Args:
        form: The dialect.
        teacher: Answers where no specialist does.
        desk: What they are answered with.
    """

    def __init__(self, form: Form, teacher: Teacher, desk: Desk) -> None:
        self.teacher = teacher
        self._form = form
        self._name = str(form.dialect)
        self._desk = desk
        self._witness = desk.witness
        self._counters = desk.counters

    async def answer(self, asked: Asked, caller: Caller, reply: Reply) -> None:
        """Answer one call."""
        course = Course(asked, caller, self._form.dialect, started_at=self._desk.clock.now())
        request = None
        if (standings := self._desk.standings) is not None:
            course.standing = standings.of(asked, caller, _decoded(asked.body))
        self._counters.in_flight += 1
        try:
            router = self._desk.router
            if router is None or router.idle:
                extra = (BY_TEACHER, (b"x-offramp-id", course.id.encode()))
                await self.teacher.answer(course, reply, extra=extra)
            else:
                request = await self._routed(router, course)
                await self._answered(course, request, reply)
        finally:
            self._counters.in_flight -= 1
            self._close(course, request, complete=reply.complete)

    async def _routed(self, router: Router, course: Course) -> JsonObject | None:
        """Decide who answers; returns the decoded request, None where nobody but the teacher can read it."""
        request = _decoded(course.asked.body)
        if request is None:
            # What is wrong with it is the teacher's to say.
            return None
        if reason := self._form.beyond(request):
            course.routing = Routing(reason=reason)
            return request
        try:
            course.routing = await router.route(self._form.to_chat(request), course.standing)
        except Exception:  # noqa: BLE001 - the edge of the router, which may be anybody's
            _log.exception("The router failed; the teacher answers", extra={"call": course.id})
            self._counters.add(Metric.FAULTS, "router")
            course.routing = Routing(reason="router failed")
        return request

    async def _answered(self, course: Course, request: JsonObject | None, reply: Reply) -> None:
        routing = course.routing
        if request is not None and routing.answer is not None and routing.route != TEACHER:
            await self._say(course, request, routing.answer, reply)
            return
        if routing.model is not None and request is not None:
            course.body = splice_model(course.body, routing.model)
            if course.standing is not None:
                course.standing.model = routing.model
        await self.teacher.answer(course, reply, extra=_fields(course))

    async def _say(self, course: Course, request: JsonObject, answer: Answer, reply: Reply) -> None:
        """Give the specialist's answer in the client's dialect."""
        completion = completion_of(answer, self._form.to_chat(request), created=course.started_at)
        content_type, body = self._form.render(completion, request)
        head = [(b"content-type", content_type), *_fields(course)]
        await self.teacher.say(course, reply, _OK, head, body)

    def _close(self, course: Course, request: JsonObject | None, *, complete: bool) -> None:
        """Record what was broken off, count the call, and begin its audit."""
        if not course.latency_s:
            course.end()
            self._witness.take(course, complete=complete)
        self._count(course, complete=complete)
        auditor = self._desk.auditor
        if course.routing.audit and request is not None and auditor is not None:
            auditor.begin(course, request, self._form, self.teacher)

    def _count(self, course: Course, *, complete: bool) -> None:
        routing = course.routing
        self._counters.call(course, self._name)
        if routing.reason:
            self._counters.add(Metric.DEFERRALS, routing.reason)
        if not complete or course.status >= _FIRST_ERROR:
            _log_failure(course, complete=complete)


def _log_failure(course: Course, *, complete: bool) -> None:
    """One line for one failed call: never a body, never a credential."""
    facts = {
        "call": course.id,
        "dialect": str(course.dialect),
        "route": course.routing.route,
        "status": course.status,
        "seconds": round(course.latency_s, 6),
        "complete": complete,
        "error": course.error,
    }
    level = logging.WARNING if course.error else logging.INFO
    _log.log(level, "Call %s failed with status %d", course.id, course.status, extra=facts)


def _decoded(body: bytes) -> JsonObject | None:
    try:
        request = orjson.loads(body)
        if body.count(b"{") + body.count(b"[") > _SHALLOW:
            # It reads what is nested 1024 deep, and writes 254: what is between would break whoever walks it.
            orjson.dumps(request)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return request if isinstance(request, dict) else None


def _fields(course: Course) -> Headers:
    """Header fields that tell the client who answered, and why."""
    routing = course.routing
    fields = [(b"x-offramp-route", _value(routing.route)), (b"x-offramp-id", course.id.encode())]
    if routing.task is not None:
        fields.append((b"x-offramp-task", _value(routing.task)))
    if routing.confidence is not None:
        fields.append((b"x-offramp-confidence", b"%.3f" % routing.confidence))
    if routing.reason:
        fields.append((b"x-offramp-reason", _value(routing.reason)))
    if routing.model is not None:
        fields.append((b"x-offramp-model", _value(routing.model)))
    return fields


def _value(text: str) -> bytes:
    """Header values are one line of ASCII."""
    return " ".join(text.split()).encode("ascii", "replace")
