"""The gateway: every request to where it is answered. Free of any server's interface but for ASGI's door."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from offramp.core.call import Dialect
from offramp.core.clock import Clock, SystemClock
from offramp.dialect import FORMS, form_of
from offramp.dialect.codec import decode
from offramp.gateway.asgi import serve_asgi
from offramp.gateway.audit import Auditor
from offramp.gateway.caller import Callers
from offramp.gateway.calls import BY_TEACHER, Calls, Desk
from offramp.gateway.counters import Counters, Metric
from offramp.gateway.course import Course
from offramp.gateway.front import Front, Patience
from offramp.gateway.pages import Pages
from offramp.gateway.problem import Problem, refused, told
from offramp.gateway.splice import splice_model
from offramp.gateway.teacher import Teacher
from offramp.gateway.vitals import Vitals
from offramp.gateway.wire import OpenGuard, Refusal, send_whole
from offramp.gateway.witness import Witness
from offramp.record.pseudonym import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.app.engines import Engines
    from offramp.app.queues import Queue
    from offramp.core.decision import Router
    from offramp.core.json import JsonObject
    from offramp.gateway.caller import Caller
    from offramp.gateway.endpoint import Endpoint
    from offramp.gateway.standings import Standings
    from offramp.gateway.wire import Admission, Asked, Guard, Reply
    from offramp.gateway.witness import Tap
    from offramp.upstream.asgi import Receive, Scope, Send
    from offramp.upstream.port import Headers, Upstream

_BASE = "/v1"
_TEACHERS = "/v1/"
_MESSAGES = "/messages"
_VERSION = b"anthropic-version"


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the gateway goes.

    Attributes:
        body_bytes: Largest request body; a tool list with images reaches megabytes.
        audits_at_once: Most audits under way.
        audit_pauses_s: Pauses before each further try of an audit.
        patience: How long it waits for clients.
    """

    body_bytes: int = 64 << 20
    audits_at_once: int = 16
    audit_pauses_s: tuple[float, ...] = (1.0, 5.0)
    patience: Patience = field(default_factory=Patience)


class Gateway:
    """Passes ``/v1`` on to the teachers, routes and records their calls, and tells how it is doing.

    What a teacher says is never changed; header fields ``x-offramp-id``, ``-route``, ``-task``,
    ``-confidence`` and ``-reason`` are added. It is an ASGI app; :class:`offramp.upstream.serving.Server`
    serves it through its own, faster :meth:`front`.

    Args:
        upstream: The teacher; whoever made it closes it.
        anthropic: The teacher behind ``/v1/messages``; ``upstream`` where there is none of its own.
        router: Decides who answers a call; None: always the teacher.
        tap: Takes every call before its answer's last byte is sent, and returns at once; None records
            nothing.
        pseudonyms: Make pseudonyms of who asked; with a random key by default.
        guard: Says who may do what; everybody may do everything by default.
        status: What ``/offramp/status`` says; what stands under ``recording`` is in ``/metrics`` too.
        endpoints: Further endpoints of offramp's own.
        limits: How far it goes.
        standings: Read how urgent calls are, for ``queue`` and the router; None schedules nothing.
        queue: Where calls to ``upstream`` wait for their turn.
        engines: Local engines, which answer for the models that they serve.
        clock: Time of each call.

    Attributes:
        counters: What was counted.
    """

    def __init__(  # noqa: PLR0913 - the parts of one gateway, each by its name
        self,
        upstream: Upstream,
        *,
        anthropic: Upstream | None = None,
        router: Router | None = None,
        tap: Tap | None = None,
        pseudonyms: Pseudonyms | None = None,
        guard: Guard | None = None,
        status: Callable[[], JsonObject] = dict,
        endpoints: Sequence[Endpoint] = (),
        limits: Limits | None = None,
        standings: Standings | None = None,
        queue: Queue | None = None,
        engines: Engines | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.counters = Counters()
        self.limits = limits or Limits()
        self._guard = guard or OpenGuard()
        self._callers = Callers(pseudonyms or Pseudonyms(secrets.token_bytes(32)))
        witness = Witness(tap, self.counters)
        clock = clock or SystemClock()
        self._auditor = None if router is None else self._audited_by(router, witness, clock)
        desk = Desk(router, self._auditor, witness, self.counters, clock, standings)
        self._openai = Teacher(upstream, form_of(Dialect.CHAT), witness, self.counters, queue, engines)
        self._anthropic = Teacher(anthropic or upstream, form_of(Dialect.MESSAGES), witness, self.counters)
        self._calls = {
            _BASE + form.path: Calls(form, self._teacher_at(form.path), desk) for form in FORMS.values()
        }
        self._clock = clock
        self._keeps = tap is not None
        vitals = Vitals(self.counters, status, records=tap is not None)
        self._pages = Pages((*endpoints, *vitals.endpoints(endpoints)), self._guard, form_of(Dialect.CHAT))

    def _audited_by(self, router: Router, witness: Witness, clock: Clock) -> Auditor:
        return Auditor(
            router,
            witness,
            self.counters,
            clock=clock,
            pauses_s=self.limits.audit_pauses_s,
            at_once=self.limits.audits_at_once,
        )

    def _teacher_at(self, path: str) -> Teacher:
        return self._anthropic if path == _MESSAGES or path.startswith(_MESSAGES + "/") else self._openai

    def front(self) -> Front:
        """Return a new HTTP front before this gateway."""
        return Front(self, self.limits.body_bytes, self.limits.patience)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        await serve_asgi(self, self.limits.body_bytes, scope, receive, send)

    async def answer(self, asked: Asked, reply: Reply) -> None:
        """Answer one request; cancelling this takes the request back from the teacher."""
        target = asked.target
        if not target.startswith(_TEACHERS):
            await self._pages.answer(asked, reply)
            return
        path = target.partition("?")[0]
        if "%" in path:
            # A path is looked up as its reader would see it, and passed on as it was written.
            path = unquote(path)
        admitted = self._guard.admit(asked.method, path, asked.headers, asked.client)
        calls = self._calls.get(path) if asked.method == "POST" else None
        teacher = calls.teacher if calls is not None else self._teacher_of(path, asked)
        if isinstance(admitted, Refusal):
            await self._refuse(refused(admitted), teacher, reply)
            return
        if (problem := self._problem(path, asked, admitted)) is not None:
            await self._refuse(problem, teacher, reply)
            return
        caller = self._callers.read(asked, admitted, recorded=calls is not None and self._keeps)
        if calls is not None:
            await calls.answer(asked, caller, reply)
        else:
            await self._pass_on(asked, caller, teacher, reply)

    def _teacher_of(self, path: str, asked: Asked) -> Teacher:
        if any(name == _VERSION for name, _ in asked.headers):
            return self._anthropic
        return self._teacher_at(path.removeprefix(_BASE))

    async def _refuse(self, problem: Problem, teacher: Teacher, reply: Reply) -> None:
        self.counters.add(Metric.REFUSED, str(problem.status))
        fields, body = told(problem, teacher.form)
        await send_whole(reply, problem.status, fields, body)

    def _problem(self, path: str, asked: Asked, admitted: Admission) -> Problem | None:
        if ".." in path and ".." in path.split("/"):
            # A server that resolves it would leave the teacher's API, with the teacher's key in hand.
            return Problem(400, f"A path with '..' is not passed on: {path}.", "bad_path")
        if admitted.models and (refusal := self._model_refused(asked, admitted)):
            return refused(refusal)
        return None

    def _model_refused(self, asked: Asked, admitted: Admission) -> Refusal | None:
        """Hold the model that is asked for against what the key allows; a body without one names none."""
        if not asked.body:
            return None
        request = decode(asked.body)
        model = request.get("model") if isinstance(request, dict) else None
        refusal = self._guard.refuses(admitted, model if isinstance(model, str) else "")
        if refusal is not None:
            return refusal
        try:
            # Of two models in one object readers take different ones: the one that was checked has to be it.
            asked.body = splice_model(asked.body, str(model))
        except ValueError:
            return Refusal(403, "The key allows some models only, and the body is not JSON in UTF-8.")
        return None

    async def _pass_on(self, asked: Asked, caller: Caller, teacher: Teacher, reply: Reply) -> None:
        course = Course(asked, caller, None, started_at=self._clock.now())
        await teacher.answer(course, reply, extra=(BY_TEACHER, (b"x-offramp-id", course.id.encode())))
        if reply.complete:
            self.counters.add(Metric.PASSED, str(reply.status))

    def tell(self, target: str, problem: Problem) -> tuple[Headers, bytes]:
        """Return header fields, without the length, and body of an error, as the path's clients know it."""
        return told(problem, self._teacher_at(target.removeprefix(_BASE)).form)

    def gone(self) -> None:
        """Count a client that left before its answer was complete."""
        self.counters.add(Metric.GONE)

    async def aclose(self, grace_s: float = 10.0) -> None:
        """Let audits under way finish, for ``grace_s`` seconds at most."""
        if self._auditor is not None:
            await self._auditor.aclose(grace_s)
