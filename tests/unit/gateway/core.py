"""The gateway's core with a scripted teacher behind it and no server before it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.core.call import Answer, Dialect
from offramp.core.decision import Routing
from offramp.dialect import form_of
from offramp.gateway.audit import Auditor
from offramp.gateway.caller import Callers
from offramp.gateway.calls import Calls, Desk
from offramp.gateway.counters import Counters
from offramp.gateway.teacher import Teacher
from offramp.gateway.wire import UNKNOWN, Admission, Asked
from offramp.gateway.witness import Witness
from offramp.record.pseudonym import Pseudonyms
from offramp.testing.replay import InProcessUpstream
from offramp.testing.scripted_teacher import ScriptedTeacher, says, whole

if TYPE_CHECKING:
    from offramp.app.queues import Queue
    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing
    from offramp.gateway.standings import Standings
    from offramp.record.exchange import Exchange
    from offramp.upstream.asgi import App, Receive, Scope, Send
    from offramp.upstream.port import Headers

REQUEST: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
BODY = json.dumps(REQUEST).encode()
AT = 1_700_000_000.0
KEY = b"k" * 32
AUDITED = Routing(task="t1", route="s1", confidence=0.9, answer=Answer("Good day."), audit=True)
SPECIALIST = Routing(task="t1", route="s1", confidence=0.98765, answer=Answer("Good day."))


class Noon:
    def now(self) -> float:
        return AT


@dataclass(slots=True)
class Reply:
    """A client that takes everything."""

    status: int = 0
    headers: Headers = ()
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False

    def start(self, status: int, headers: Headers, length: int = UNKNOWN) -> None:
        assert self.status == 0
        assert length in {UNKNOWN, int(dict(headers).get(b"content-length", -1))}
        self.status, self.headers = status, headers

    async def write(self, data: bytes, *, last: bool) -> None:
        assert self.status
        assert not self.complete
        self.pieces += [data] if data else []
        self.complete = last

    def push(self, data: bytes) -> bool:
        assert self.status
        assert not self.complete
        self.pieces.append(data)
        return True

    def field(self, name: str) -> str | None:
        return dict(self.headers).get(name.encode(), b"").decode() or None

    def json(self) -> Any:
        return json.loads(b"".join(self.pieces))


@dataclass(slots=True)
class Router:
    """Decides what the test wrote down."""

    routing: Routing = field(default_factory=Routing)
    idle: bool = False
    failure: Exception | None = None
    asked: list[JsonObject] = field(default_factory=list)
    standings: list[Standing | None] = field(default_factory=list)
    audits: list[tuple[Routing, JsonObject, JsonObject]] = field(default_factory=list)

    async def route(self, request: JsonObject, standing: Standing | None = None) -> Routing:
        self.standings.append(standing)
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        return self.routing

    async def observe_audit(self, routing: Routing, request: JsonObject, teacher: JsonObject) -> None:
        if self.failure is not None:
            raise self.failure
        self.audits.append((routing, request, teacher))


class Crowd:
    """A teacher that counts how many it answers at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._teacher = ScriptedTeacher(otherwise=whole(says("ok"), delay_s=0.01))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        await self._teacher(scope, receive, send)
        self._now -= 1


class World:
    """The core with a scripted teacher behind it."""

    def __init__(
        self, silence_s: float = 30.0, app: App | None = None, dialect: Dialect = Dialect.CHAT
    ) -> None:
        self.teacher = ScriptedTeacher()
        self.router = Router()
        self.counters = Counters()
        self.taken: list[Exchange] = []
        self.replies: list[Reply] = []
        self.sent_when_taken: list[tuple[bytes, bool]] = []
        self.tap_failure: Exception | None = None
        upstream = InProcessUpstream(app or self.teacher, silence_s=silence_s)
        witness = Witness(self._take, self.counters)
        self.auditor = Auditor(self.router, witness, self.counters, clock=Noon(), pauses_s=(0, 0), at_once=2)
        form = form_of(dialect)
        self.path = "/v1" + form.path
        self.callers = Callers(Pseudonyms(KEY))
        self._parts = (upstream, form, witness, self.counters)
        self.schedule(None, None)

    def schedule(self, queue: Queue | None, standings: Standings | None) -> None:
        """Answer calls through a queue."""
        _, form, witness, counters = self._parts
        desk = Desk(self.router, self.auditor, witness, counters, Noon(), standings)
        self.calls = Calls(form, Teacher(*self._parts, queue), desk)

    def _take(self, exchange: Exchange) -> None:
        reply = self.replies[-1]
        self.sent_when_taken.append((b"".join(reply.pieces), reply.complete))
        if self.tap_failure is not None:
            raise self.tap_failure
        self.taken.append(exchange)

    async def ask(self, body: bytes = BODY, *headers: tuple[bytes, bytes]) -> Reply:
        reply = Reply()
        self.replies.append(reply)
        asked = Asked("POST", self.path, headers, body, "10.0.0.1")
        caller = self.callers.read(asked, Admission(), recorded=True)
        await self.calls.answer(asked, caller, reply)
        return reply

    async def ask_and_audit(self, body: bytes = BODY, *headers: tuple[bytes, bytes]) -> Reply:
        reply = await self.ask(body, *headers)
        await self.auditor.aclose(grace_s=30)
        return reply
