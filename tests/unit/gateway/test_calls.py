"""The gateway's core without a server: what is decided, recorded and audited of one call."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.core.call import Answer, Dialect, answer_of
from offramp.core.decision import Routing
from offramp.dialect import form_of
from offramp.gateway.audit import Auditor
from offramp.gateway.caller import Callers
from offramp.gateway.calls import Calls, Desk
from offramp.gateway.counters import Counters, Metric
from offramp.gateway.teacher import Teacher
from offramp.gateway.wire import UNKNOWN, Admission, Asked
from offramp.gateway.witness import Witness
from offramp.record.pseudonym import Pseudonyms, who_asked
from offramp.testing.replay import InProcessUpstream
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher, says, streamed, whole

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.record.exchange import Exchange
    from offramp.upstream.asgi import App, Receive, Scope, Send
    from offramp.upstream.port import Headers

_REQUEST: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
_BODY = json.dumps(_REQUEST).encode()
_AT = 1_700_000_000.0
_KEY = b"k" * 32
_AUDITED = Routing(task="t1", route="s1", confidence=0.9, answer=Answer("Good day."), audit=True)
_SPECIALIST = Routing(task="t1", route="s1", confidence=0.98765, answer=Answer("Good day."))


class _Noon:
    def now(self) -> float:
        return _AT


@dataclass(slots=True)
class _Reply:
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

    def field(self, name: str) -> str | None:
        return dict(self.headers).get(name.encode(), b"").decode() or None

    def json(self) -> Any:
        return json.loads(b"".join(self.pieces))


@dataclass(slots=True)
class _Router:
    """Decides what the test wrote down."""

    routing: Routing = field(default_factory=Routing)
    idle: bool = False
    failure: Exception | None = None
    asked: list[JsonObject] = field(default_factory=list)
    audits: list[tuple[Routing, JsonObject, JsonObject]] = field(default_factory=list)

    async def route(self, request: JsonObject) -> Routing:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        return self.routing

    def observe_audit(self, routing: Routing, request: JsonObject, teacher: JsonObject) -> None:
        if self.failure is not None:
            raise self.failure
        self.audits.append((routing, request, teacher))


class _Crowd:
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


class _World:
    """The core with a scripted teacher behind it."""

    def __init__(
        self, silence_s: float = 30.0, app: App | None = None, dialect: Dialect = Dialect.CHAT
    ) -> None:
        self.teacher = ScriptedTeacher()
        self.router = _Router()
        self.counters = Counters()
        self.taken: list[Exchange] = []
        self.replies: list[_Reply] = []
        self.sent_when_taken: list[tuple[bytes, bool]] = []
        self.tap_failure: Exception | None = None
        upstream = InProcessUpstream(app or self.teacher, silence_s=silence_s)
        witness = Witness(self._take, self.counters)
        self.auditor = Auditor(self.router, witness, self.counters, clock=_Noon(), pauses_s=(0, 0), at_once=2)
        form = form_of(dialect)
        self.path = "/v1" + form.path
        self.callers = Callers(Pseudonyms(_KEY))
        self.calls = Calls(
            form,
            Teacher(upstream, form, witness, self.counters),
            Desk(self.router, self.auditor, witness, self.counters, _Noon()),
        )

    def _take(self, exchange: Exchange) -> None:
        reply = self.replies[-1]
        self.sent_when_taken.append((b"".join(reply.pieces), reply.complete))
        if self.tap_failure is not None:
            raise self.tap_failure
        self.taken.append(exchange)

    async def ask(self, body: bytes = _BODY, *headers: tuple[bytes, bytes]) -> _Reply:
        reply = _Reply()
        self.replies.append(reply)
        asked = Asked("POST", self.path, headers, body, "10.0.0.1")
        caller = self.callers.read(asked, Admission(), recorded=True)
        await self.calls.answer(asked, caller, reply)
        return reply

    async def ask_and_audit(self, body: bytes = _BODY, *headers: tuple[bytes, bytes]) -> _Reply:
        reply = await self.ask(body, *headers)
        await self.auditor.aclose(grace_s=30)
        return reply


@pytest.fixture
def world() -> _World:
    return _World()


# --- deciding -------------------------------------------------------------------------------------


async def test_an_idle_router_is_not_asked_and_the_body_not_decoded(world: _World) -> None:
    world.router.idle = True
    reply = await world.ask(b"{not json")
    assert (reply.status, world.router.asked) == (200, [])
    ours = [name for name, _ in reply.headers if name.startswith(b"x-offramp")]
    assert ours == [b"x-offramp-route", b"x-offramp-id"]


@pytest.mark.parametrize("body", [b"{not json", b"[1]", b"", b"\xff"])
async def test_a_body_that_is_no_object_is_the_teachers_to_refuse(world: _World, body: bytes) -> None:
    world.router.routing = _SPECIALIST
    await world.ask(body)
    assert world.teacher.heard[0].body == body
    assert world.router.asked == []


async def test_the_router_sees_the_decoded_request(world: _World) -> None:
    await world.ask()
    assert world.router.asked == [_REQUEST]


async def test_a_specialists_answer_spares_the_teacher(world: _World) -> None:
    world.router.routing = _SPECIALIST
    reply = await world.ask()
    assert reply.json()["choices"][0]["message"]["content"] == "Good day."
    assert world.teacher.heard == []


async def test_the_declared_length_is_the_length(world: _World) -> None:
    world.router.routing = _SPECIALIST
    reply = await world.ask()
    assert reply.field("content-length") == str(sum(map(len, reply.pieces)))


@pytest.mark.parametrize(
    ("routing", "fields"),
    [
        (_SPECIALIST, ("s1", "t1", "0.988", None)),
        (
            Routing(task="t1", reason="below threshold", confidence=0.5),
            ("teacher", "t1", "0.500", "below threshold"),
        ),
        (Routing(reason="no task"), ("teacher", None, None, "no task")),
        (Routing(task="größe\r\nx: y"), ("teacher", "gr??e x: y", None, None)),
    ],
)
async def test_the_fields_say_who_answered_and_why(
    world: _World, routing: Routing, fields: tuple[str | None, ...]
) -> None:
    world.router.routing = routing
    reply = await world.ask()
    assert (
        tuple(reply.field(f"x-offramp-{name}") for name in ("route", "task", "confidence", "reason"))
        == fields
    )


async def test_an_answer_kept_in_shadow_is_not_given(world: _World) -> None:
    world.router.routing = Routing(task="t1", route="teacher", reason="shadow", answer=Answer("x"))
    assert (await world.ask()).json()["choices"][0]["message"]["content"] == "ok"


async def test_a_router_that_fails_means_the_teacher(world: _World) -> None:
    world.router.failure = RuntimeError("a bug")
    reply = await world.ask()
    assert reply.json()["choices"][0]["message"]["content"] == "ok"
    assert reply.field("x-offramp-reason") == "router failed"
    assert world.counters.value(Metric.FAULTS, "router") == 1


async def test_calls_are_counted_by_route_and_reason(world: _World) -> None:
    world.router.routing = _SPECIALIST
    await world.ask()
    world.router.routing = Routing(reason="no task")
    await world.ask()
    counted = (world.counters.value(Metric.CALLS, "s1"), world.counters.value(Metric.CALLS, "teacher"))
    assert (*counted, world.counters.value(Metric.DEFERRALS, "no task")) == (1, 1, 1)


# --- asking the teacher ---------------------------------------------------------------------------


async def test_the_head_waits_for_the_first_piece_so_that_an_error_can_be_told(world: _World) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    reply = await world.ask()
    assert (reply.status, reply.complete) == (502, True)
    assert reply.json()["error"]["code"] == "upstream_error"


async def test_a_silent_teacher_is_a_504() -> None:
    world = _World(silence_s=0.05)
    world.teacher.then(whole(says("late"), delay_s=60))
    reply = await world.ask()
    assert reply.status == 504
    assert reply.field("x-offramp-route") == "teacher"
    assert "did not answer in time" in reply.json()["error"]["message"]


async def test_what_breaks_off_stays_incomplete(world: _World) -> None:
    world.teacher.then(Scripted([b"data: "], breaks_off=True))
    reply = await world.ask()
    assert (reply.status, reply.pieces, reply.complete) == (200, [b"data: "], False)


async def test_an_empty_body_is_complete(world: _World) -> None:
    world.teacher.then(Scripted(status=204))
    reply = await world.ask()
    assert (reply.status, reply.pieces, reply.complete) == (204, [], True)


async def test_pieces_are_passed_on_one_by_one(world: _World) -> None:
    events = streamed(says("a longer answer"))
    world.teacher.then(events)
    assert (await world.ask()).pieces == list(events.pieces)


async def test_what_is_for_offramp_is_not_for_the_teacher(world: _World) -> None:
    await world.ask(_BODY, (b"x-offramp-session", b"run-1"), (b"x-other", b"1"))
    assert world.teacher.heard[0].header("x-offramp-session") is None
    assert world.teacher.heard[0].header("x-other") == "1"


@pytest.mark.parametrize(("accepted", "asked_for"), [(b"br, zstd, gzip", "gzip"), (b"br", "identity")])
async def test_only_compression_that_the_recorder_reads_is_let_through(
    world: _World, accepted: bytes, asked_for: str
) -> None:
    await world.ask(_BODY, (b"accept-encoding", accepted))
    assert world.teacher.heard[0].header("accept-encoding") == asked_for


# --- recording ------------------------------------------------------------------------------------


async def test_a_call_is_recorded_as_it_went_over_the_wire(world: _World) -> None:
    answer = whole(says("Good day."))
    world.teacher.then(answer)
    await world.ask(b'{"a":  1}', (b"user-agent", b"agent/1"), (b"x-secret", b"s"))
    call = world.taken[0]
    assert (call.request, call.response) == (b'{"a":  1}', answer.pieces[0])
    assert (call.status, call.content_type, call.stream) == (200, "application/json", False)
    assert (call.route, call.complete, call.started_at) == ("teacher", True, _AT)
    assert call.who == who_asked(Pseudonyms(_KEY), "", "10.0.0.1")
    assert call.meta == {}
    assert call.latency_s > 0


async def test_a_stream_is_recorded_with_all_its_bytes(world: _World) -> None:
    events = streamed(says("a longer answer"))
    world.teacher.then(events)
    await world.ask()
    assert world.taken[0].response == b"".join(events.pieces)
    assert world.taken[0].stream


async def test_a_compressed_answer_is_recorded_as_it_is_and_says_so(world: _World) -> None:
    packed = gzip.compress(b"{}")
    world.teacher.then(Scripted([packed], headers=[(b"content-encoding", b"gzip")]))
    reply = await world.ask()
    assert reply.pieces == [packed]
    assert (world.taken[0].response, world.taken[0].content_encoding) == (packed, "gzip")


@pytest.mark.parametrize(
    ("scripted", "status", "complete"),
    [
        (whole({"error": {}}, status=429), 429, True),
        (Scripted([b"data: "], breaks_off=True), 200, False),
        (Scripted(breaks_off=True), 502, True),
    ],
)
async def test_what_went_wrong_is_recorded_too(
    world: _World, scripted: Scripted, status: int, complete: bool
) -> None:
    world.teacher.then(scripted)
    await world.ask()
    assert (world.taken[0].status, world.taken[0].complete) == (status, complete)


async def test_a_client_that_left_before_the_head_is_recorded_as_499(world: _World) -> None:
    world.teacher.then(whole(says("late"), delay_s=60))
    asking = asyncio.create_task(world.ask())
    while not world.teacher.heard:  # noqa: ASYNC110 - the teacher sets no event
        await asyncio.sleep(0)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert (world.taken[0].status, world.taken[0].complete) == (499, False)
    assert world.teacher.abandoned == 1


async def test_the_record_says_which_specialist_answered(world: _World) -> None:
    world.router.routing = _SPECIALIST
    reply = await world.ask()
    call = world.taken[0]
    assert (call.route, call.meta) == ("s1", {"task": "t1", "confidence": 0.98765})
    assert call.response == b"".join(reply.pieces)


async def test_the_record_says_why_the_teacher_answered(world: _World) -> None:
    world.router.routing = Routing(task="t1", reason="below threshold", confidence=0.5)
    await world.ask()
    assert world.taken[0].meta == {"task": "t1", "confidence": 0.5, "reason": "below threshold"}


async def test_a_recorder_that_fails_does_not_touch_the_traffic(world: _World) -> None:
    world.tap_failure = RuntimeError("disk on fire")
    assert (await world.ask()).complete
    assert world.counters.value(Metric.FAULTS, "tap") == 1


# --- durability -----------------------------------------------------------------------------------


async def test_a_whole_answer_is_recorded_before_a_byte_of_it_is_sent(world: _World) -> None:
    reply = await world.ask()
    assert world.sent_when_taken == [(b"", False)]
    assert world.taken[0].response == b"".join(reply.pieces)


async def test_a_stream_is_recorded_before_its_end_is_sent(world: _World) -> None:
    events = streamed(says("a longer answer"))
    world.teacher.then(events)
    await world.ask()
    assert world.sent_when_taken == [(b"".join(events.pieces), False)]


async def test_a_specialists_answer_is_recorded_before_it_is_sent(world: _World) -> None:
    world.router.routing = _SPECIALIST
    reply = await world.ask()
    assert world.sent_when_taken == [(b"", False)]
    assert world.taken[0].response == b"".join(reply.pieces)


async def test_an_error_of_the_gateways_own_is_recorded_before_it_is_sent(world: _World) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    reply = await world.ask()
    assert world.sent_when_taken == [(b"", False)]
    assert world.taken[0].response == b"".join(reply.pieces)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    declared=st.booleans(),
    breaks_off=st.booleans(),
)
def test_what_is_recorded_is_what_was_sent(pieces: list[bytes], declared: bool, breaks_off: bool) -> None:
    """For any pieces: the same bytes to the client and to the record, and the last one not before it."""

    async def run() -> _World:
        world = _World()
        length = [(b"content-length", b"%d" % sum(map(len, pieces)))] if declared else []
        cut = breaks_off and bool(pieces)
        given = [*pieces, b"never"] if cut and declared else pieces
        world.teacher.then(Scripted(given[: len(pieces)], headers=length, breaks_off=cut and not declared))
        await world.ask()
        return world

    world = asyncio.run(run())
    (reply,), (taken,), ((before, complete),) = world.replies, world.taken, world.sent_when_taken
    assert b"".join(reply.pieces) == b"".join(pieces) == taken.response
    assert taken.complete == reply.complete
    assert not complete
    assert not taken.complete or not declared or not pieces or len(before) < len(taken.response)


async def test_a_call_is_taken_once_even_where_the_tap_fails(world: _World) -> None:
    world.tap_failure = RuntimeError("disk on fire")
    await world.ask()
    assert len(world.sent_when_taken) == 1


async def test_the_answer_names_the_record(world: _World) -> None:
    assert (await world.ask()).field("x-offramp-id") == world.taken[0].id


# --- dialects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_a_call_is_recorded_with_its_dialect(dialect: Dialect) -> None:
    world = _World(dialect=dialect)
    await world.ask()
    assert world.taken[0].dialect is dialect
    assert world.counters.value(Metric.CALLS, "teacher", dialect) == 1


_SAME: dict[Dialect, JsonObject] = {
    Dialect.CHAT: _REQUEST,
    Dialect.RESPONSES: {"model": "m", "input": "hello", "store": False},
    Dialect.MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]},
}


@pytest.mark.parametrize("dialect", _SAME)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_specialist_answers_in_the_dialect_it_was_asked_in(dialect: Dialect, stream: bool) -> None:
    world = _World(dialect=dialect)
    world.router.routing = _SPECIALIST
    reply = await world.ask(json.dumps({**_SAME[dialect], "stream": stream}).encode())
    assert world.router.asked[0]["messages"][-1] == {"role": "user", "content": "hello"}
    form, sent = form_of(dialect), b"".join(reply.pieces)
    body = form.fold(sent).body if stream else json.loads(sent)
    assert answer_of(form.chat_response(body)) == Answer("Good day.")


@pytest.mark.parametrize("dialect", _SAME)
async def test_an_audit_compares_what_the_dialects_teacher_said(dialect: Dialect) -> None:
    world = _World(dialect=dialect)
    world.router.routing = _AUDITED
    chat = says("Good evening.")
    _, body = form_of(dialect).render(chat, _SAME[dialect])
    world.teacher.then(whole(json.loads(body)))
    await world.ask_and_audit(json.dumps(_SAME[dialect]).encode())
    _, request, teacher = world.router.audits[0]
    assert request["messages"][-1]["content"] == "hello"
    assert answer_of(teacher) == Answer("Good evening.")


# --- another model --------------------------------------------------------------------------------


async def test_a_route_may_name_another_model_and_changes_nothing_else(world: _World) -> None:
    world.router.routing = Routing(reason="alias", model="small")
    body = b'{ "model" : "m", "x": {"model": "m"}, "n": 1.0 }'
    reply = await world.ask(body)
    assert world.teacher.heard[0].body == b'{ "model" : "small", "x": {"model": "m"}, "n": 1.0 }'
    assert (reply.field("x-offramp-model"), world.taken[0].meta["model"]) == ("small", "small")
    assert world.taken[0].request == body


# --- failures -------------------------------------------------------------------------------------


async def test_a_failed_call_is_one_line_with_its_id_and_no_content(
    world: _World, caplog: pytest.LogCaptureFixture
) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    with caplog.at_level(logging.INFO, logger="offramp.gateway"):
        reply = await world.ask(b'{"secret": 1}', (b"authorization", b"Bearer sk-secret"))
    line = next(record for record in caplog.records if record.message.endswith("failed with status 502"))
    facts = vars(line)
    assert (facts["call"], facts["dialect"], facts["status"]) == (reply.field("x-offramp-id"), "chat", 502)
    assert (facts["error"], facts["complete"], facts["route"]) == ("UpstreamError", True, "teacher")
    assert "secret" not in repr([vars(record) for record in caplog.records])


# --- audits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [{}, {"stream": True, "stream_options": {"include_usage": True}}])
async def test_an_audit_asks_the_teacher_the_same_in_one_plain_piece(
    world: _World, framing: JsonObject
) -> None:
    world.router.routing = _AUDITED
    world.teacher.then(whole(says("Good evening.")))
    fields = (b"authorization", b"Bearer k"), (b"accept-encoding", b"br"), (b"x-offramp-session", b"r")
    await world.ask_and_audit(json.dumps({**_REQUEST, **framing}).encode(), *fields)
    heard = world.teacher.heard[0]
    assert heard.json() == _REQUEST
    assert [heard.header(name) for name in ("authorization", "accept-encoding")] == ["Bearer k", None]
    assert heard.header("x-offramp-session") is None


async def test_the_router_is_told_what_the_teacher_said(world: _World) -> None:
    world.router.routing = _AUDITED
    world.teacher.then(whole(says("Good evening.")))
    await world.ask_and_audit()
    routing, request, teacher = world.router.audits[0]
    assert (routing, request) == (_AUDITED, _REQUEST)
    assert teacher["choices"][0]["message"]["content"] == "Good evening."
    assert world.counters.value(Metric.AUDITS, "done") == 1


async def test_the_client_does_not_wait_for_the_audit(world: _World) -> None:
    world.router.routing = _AUDITED
    reply = await world.ask()
    assert reply.complete
    assert world.router.audits == []
    await world.auditor.aclose(grace_s=30)
    assert len(world.router.audits) == 1


async def test_an_audit_is_recorded_beside_the_call(world: _World) -> None:
    world.router.routing = _AUDITED
    await world.ask_and_audit()
    call, audit = world.taken
    assert (call.route, audit.route) == ("s1", "teacher")
    assert audit.meta == {"task": "t1", "confidence": 0.9, "audit_of": call.id}
    assert b"chat.completion" in audit.response


async def test_an_audit_of_a_busy_teacher_is_tried_again(world: _World) -> None:
    world.router.routing = _AUDITED
    world.teacher.then(whole({"error": {}}, status=429), Scripted(breaks_off=True))
    await world.ask_and_audit()
    assert len(world.teacher.heard) == 3
    assert len(world.router.audits) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [whole({"error": {}}, status=401)],
        [Scripted([b"not json"])],
        [Scripted([b"[]"])],
        [Scripted(breaks_off=True)] * 3,
    ],
    ids=["refused", "no_json", "no_object", "never_whole"],
)
async def test_an_audit_without_an_answer_is_counted_and_not_observed(
    world: _World, answers: list[Scripted]
) -> None:
    world.router.routing = _AUDITED
    world.teacher.then(*answers)
    await world.ask_and_audit()
    assert world.counters.value(Metric.AUDITS, "failed") == 1
    assert world.router.audits == []


async def test_a_router_that_fails_on_an_audit_is_counted(world: _World) -> None:
    world.router.routing = _AUDITED
    await world.ask()
    world.router.failure = RuntimeError("a bug")
    await world.auditor.aclose(grace_s=30)
    assert world.counters.value(Metric.FAULTS, "router") == 1


async def test_audits_wait_for_their_turn() -> None:
    crowd = _Crowd()
    world = _World(app=crowd)
    world.router.routing = _AUDITED
    for _ in range(5):
        await world.ask()
    await world.auditor.aclose(grace_s=30)
    assert (crowd.most, len(world.router.audits)) == (2, 5)


async def test_closing_waits_no_longer_than_the_grace(world: _World) -> None:
    world.router.routing = _AUDITED
    world.teacher.then(whole(says("late"), delay_s=60))
    await world.ask()
    await world.auditor.aclose(grace_s=0.01)
    assert world.router.audits == []
