"""A request through gateway and teacher over real sockets, asked by the unmodified official client."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import anthropic
import openai
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

import offramp
from offramp.core.admission import Admission, Refusal
from offramp.core.call import Answer, Dialect, ToolCall
from offramp.core.decision import Routing
from offramp.gateway import Gateway, Limits, Metric
from offramp.gateway.keyed import KeyedUpstream
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher, says, streamed, whole
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts
from offramp.upstream.recording import Recording
from offramp.upstream.replay import Replay
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from offramp.core.json import JsonObject
    from offramp.record.exchange import Exchange
    from offramp.upstream.port import Headers

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HELLO: Any = [{"role": "user", "content": "hello"}]
_TOOLS: Any = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]
_USAGE: Any = {"include_usage": True}
_BOOKING = Answer(tool_calls=(ToolCall("book", {"to": "Zürich", "seats": 2}),))


@dataclass(slots=True)
class _Router:
    """Decides what the test wrote down."""

    idle: bool = True
    routing: Routing = field(default_factory=Routing)
    failure: Exception | None = None
    asked: list[JsonObject] = field(default_factory=list)
    audits: list[tuple[Routing, JsonObject, JsonObject]] = field(default_factory=list)

    async def route(self, request: JsonObject) -> Routing:
        self.asked.append(request)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self.routing

    def observe_audit(self, routing: Routing, request: JsonObject, teacher: JsonObject) -> None:
        self.audits.append((routing, request, teacher))
        if self.failure is not None:
            raise self.failure


@dataclass(slots=True)
class _Tap:
    """Keeps what it takes, or fails."""

    taken: list[Exchange] = field(default_factory=list)
    failure: Exception | None = None

    def take(self, exchange: Exchange) -> None:
        if self.failure is not None:
            raise self.failure
        self.taken.append(exchange)


@dataclass(slots=True)
class _Guard:
    """Says what the test wrote down."""

    says: Admission | Refusal = field(default_factory=Admission)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def admit(self, method: str, path: str, headers: Headers, client: str = "") -> Admission | Refusal:
        self.asked.append((method, path))
        return self.says

    def refuses(self, admission: Admission, model: str) -> Refusal | None:
        return None if model in admission.models else Refusal(403, f"No {model!r} here.")


@dataclass(slots=True)
class _World:
    """Clients, gateway and teachers."""

    tapped: _Tap
    client: openai.AsyncOpenAI
    claude_client: anthropic.AsyncAnthropic
    gateway: Gateway
    teacher: ScriptedTeacher
    claude: ScriptedTeacher
    router: _Router
    guard: _Guard
    url: str

    @property
    def taken(self) -> list[Exchange]:
        return self.tapped.taken

    def answers_itself(self, answer: Answer, **fields: Any) -> None:
        self.router.idle = False
        self.router.routing = Routing(
            **{"task": "t1", "route": "s1", "confidence": 0.98765, "answer": answer, **fields}
        )

    def forget(self) -> None:
        for part in (self.router, self.teacher, self.claude, self.tapped, self.guard):
            part.__init__()  # type: ignore[misc] # back to the start


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["front", "asgi"])
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[_World]:
    """Both ways into the gateway: its own front, and any ASGI server."""
    teacher, claude, router = ScriptedTeacher(), ScriptedTeacher(), _Router()
    tapped, guard = _Tap(), _Guard()
    async with contextlib.AsyncExitStack() as stack:
        upstreams = []
        for behind in (teacher, claude):
            server = await stack.enter_async_context(Server(behind, grace_s=1))
            upstreams.append(PooledUpstream(server.address.url, timeouts=Timeouts(connect=30, silence=30)))
            stack.push_async_callback(upstreams[-1].aclose)
        gateway = Gateway(
            upstreams[0],
            anthropic=upstreams[1],
            router=router,
            tap=tapped.take,
            guard=guard,
            status=lambda: {"live": ["s1"]},
            limits=Limits(body_bytes=8 << 20, audit_pauses_s=(0.01, 0.01)),
        )
        stack.push_async_callback(gateway.aclose)
        app = gateway if request.param == "front" else gateway.__call__
        front = await stack.enter_async_context(Server(app, grace_s=1))
        client = openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="sk-1", max_retries=0)
        await stack.enter_async_context(client)
        other = anthropic.AsyncAnthropic(base_url=front.address.url, api_key="sk-2", max_retries=0)
        await stack.enter_async_context(other)
        yield _World(tapped, client, other, gateway, teacher, claude, router, guard, front.address.url)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: _World) -> _World:
    shared.forget()
    return shared


async def _ask(world: _World, **fields: Any) -> Any:
    asked = {"model": "gpt-4o", "messages": _HELLO, **fields}
    return await world.client.chat.completions.create(**asked)


async def _ask_raw(world: _World, **fields: Any) -> Any:
    asked = {"model": "gpt-4o", "messages": _HELLO, **fields}
    return await world.client.chat.completions.with_raw_response.create(**asked)


async def _post(world: _World, body: bytes, **headers: str) -> tuple[int, bytes, Any]:
    url = world.url + "/v1/chat/completions"
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status, await response.read(), response.headers


async def _eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the other side sets no event
            await asyncio.sleep(0.005)


# --- passing on -----------------------------------------------------------------------------------


async def test_the_teachers_answer_reaches_the_client(world: _World) -> None:
    world.teacher.then(whole(says("Good day.")))
    assert (await _ask(world)).choices[0].message.content == "Good day."


async def test_the_teachers_stream_reaches_the_client(world: _World) -> None:
    world.teacher.then(streamed(says("Good day to you."), include_usage=True))
    chunks = [chunk async for chunk in await _ask(world, stream=True, stream_options=_USAGE)]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Good day to you."
    assert chunks[-1].usage is not None


async def test_tool_calls_reach_the_client_whole_and_streamed(world: _World) -> None:
    answer = says(tool_calls=[{"name": "book", "arguments": '{"to": "Oslo"}'}])
    world.teacher.then(whole(answer), streamed(answer))
    first = await _ask(world, tools=_TOOLS)
    async with world.client.chat.completions.stream(model="m", messages=_HELLO, tools=_TOOLS) as stream:
        second: Any = await stream.get_final_completion()
    for completion in (first, second):
        assert completion.choices[0].message.tool_calls[0].function.arguments == '{"to": "Oslo"}'


def _ask_in_this_thread(url: str, *, stream: bool) -> str:
    with openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0) as client:
        if not stream:
            return client.chat.completions.create(model="m", messages=_HELLO).choices[0].message.content or ""
        chunks = client.chat.completions.create(model="m", messages=_HELLO, stream=True)
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_synchronous_client_works_too(world: _World, stream: bool) -> None:
    world.teacher.then(streamed(says("Good day.")) if stream else whole(says("Good day.")))
    assert await asyncio.to_thread(_ask_in_this_thread, world.url, stream=stream) == "Good day."


@pytest.mark.parametrize("idle", [True, False])
async def test_request_and_response_survive_byte_for_byte(world: _World, idle: bool) -> None:
    world.router.idle = idle
    body = (
        b'{ "model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\\u00e9 \xc3\xa9",'
        b'"cache_control":{"type":"ephemeral"}}],"reasoning_content":"r","odd":null}],"seed":1e0,'
        b'"metadata":{"b":"2","a":"1"},"user":"u","logit_bias":{},"unknown_key":[1.0,{}],'
        b'"parallel_tool_calls":false,"prompt_cache_key":"k" }\n'
    )
    answer = b'{"choices":[{"message":{"reasoning_content":"r","content":"\\u00e9"}}] ,"x_odd":1.0}'
    world.teacher.then(Scripted([answer[:20], answer[20:]]))
    status, received, _ = await _post(world, body)
    assert world.teacher.heard[0].body == body
    assert (status, received) == (200, answer)


async def test_events_arrive_as_they_are_sent(world: _World) -> None:
    events = streamed(says("a longer answer"), pause_s=0.02)
    world.teacher.then(events)
    url = world.url + "/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, data=b"{}") as response:
        pieces = [piece async for piece in response.content.iter_any()]
    assert b"".join(pieces) == b"".join(events.pieces)
    assert len(pieces) > 1


async def test_broken_events_are_passed_on_as_they_are(world: _World) -> None:
    world.teacher.then(Scripted([b"data: {bro", b"ken\n\nevent: x\r\n", b"\xff\x00"]))
    assert (await _post(world, b"{}"))[1] == b"data: {broken\n\nevent: x\r\n\xff\x00"


async def test_a_body_that_is_no_json_goes_to_the_teacher(world: _World) -> None:
    world.router.idle = False
    world.teacher.then(whole({"error": {"message": "bad json"}}, status=400))
    status, _, _ = await _post(world, b"{not json")
    assert status == 400
    assert world.teacher.heard[0].body == b"{not json"
    assert world.router.asked == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, openai.NotFoundError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
async def test_the_teachers_errors_stay_its_own(world: _World, status: int, error: type[Exception]) -> None:
    payload = {"error": {"message": "not today", "code": "c", "type": "t", "param": None}}
    world.teacher.then(whole(payload, status=status, headers=[(b"retry-after", b"17")]))
    with pytest.raises(error, match="not today") as caught:
        await _ask(world)
    response = caught.value.response  # type: ignore[attr-defined] # openai.APIStatusError
    assert response.headers["retry-after"] == "17"
    assert response.headers["x-offramp-route"] == "teacher"


async def test_the_clients_retries_after_a_429_reach_the_teacher(world: _World) -> None:
    world.teacher.then(whole({"error": {}}, status=429, headers=[(b"retry-after-ms", b"1")]))
    answer = await world.client.with_options(max_retries=1).chat.completions.create(
        model="m", messages=_HELLO
    )
    assert answer.choices[0].message.content == "ok"
    assert len(world.teacher.heard) == 2


async def test_fields_of_the_teachers_response_arrive_once(world: _World) -> None:
    fields = [(b"x-request-id", b"r1"), (b"date", b"today"), (b"server", b"teacher"), (b"set-cookie", b"a=1")]
    world.teacher.then(whole(says("ok"), headers=fields))
    _, _, headers = await _post(world, b"{}")
    assert [headers.getall(name) for name in ("x-request-id", "date", "server", "set-cookie")] == [
        ["r1"],
        ["today"],
        ["teacher"],
        ["a=1"],
    ]


async def test_offramps_own_request_fields_stay_with_offramp(world: _World) -> None:
    await _post(world, b"{}", **{"X-Offramp-Session": "run-1"})
    assert world.teacher.heard[0].header("x-offramp-session") is None
    assert world.taken[0].run.startswith("run-")
    assert world.taken[0].run != "run-1"


async def test_the_clients_key_reaches_the_teacher(world: _World) -> None:
    await _ask(world)
    assert world.teacher.heard[0].header("authorization") == "Bearer sk-1"


async def test_other_paths_are_passed_on_and_not_recorded(world: _World) -> None:
    world.teacher.then(whole({"object": "list", "data": [{"id": "m1", "object": "model"}]}))
    assert [model.id async for model in world.client.models.list()] == ["m1"]
    assert world.teacher.heard[0].target == "/v1/models"
    assert world.taken == []


async def test_odd_paths_and_methods_are_passed_on_as_written(world: _World) -> None:
    url = URL(world.url + "/v1/files/a%2Fb?x=%2F&y", encoded=True)
    async with aiohttp.ClientSession() as session, session.delete(url) as response:
        assert response.status == 200
    heard = world.teacher.heard[0]
    assert (heard.method, heard.target) == ("DELETE", "/v1/files/a%2Fb?x=%2F&y")


async def test_a_request_of_megabytes_is_passed_on(world: _World) -> None:
    body = b'{"messages": "' + b"x" * (5 << 20) + b'"}'
    assert (await _post(world, body))[0] == 200
    assert world.teacher.heard[0].body == body


async def test_a_request_over_the_limit_is_refused_with_the_limit(world: _World) -> None:
    status, body, _ = await _post(world, b"x" * (9 << 20))
    assert status == 413
    assert "8388608 bytes" in json.loads(body)["error"]["message"]
    assert world.teacher.heard == []


_TARGETS = [
    "/v1/chat/completions/",
    "/v1/files/a%2Fb?x=%2F&y=%20",
    "/v1//models?",
    "/v1/a;b=c/~d!$&'()*+,@:",
    "/v1/engines/x/completions?q=a?b#c",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST"])
@pytest.mark.parametrize("target", _TARGETS)
async def test_every_method_and_target_is_passed_on_as_written(
    world: _World, method: str, target: str
) -> None:
    status, body = await _raw(world, f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (status, body == b"") == (200, method == "HEAD")
    # uvicorn parses a target before it hands it over; what it leaves out there is not ours.
    assert world.teacher.heard[0].target.rstrip("?") == target.partition("#")[0].rstrip("?")
    assert world.teacher.heard[0].method == method
    assert world.taken == []


async def _raw(world: _World, request: str) -> tuple[int, bytes]:
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split(b" ")[1]), body


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(min_size=1, max_size=200), max_size=5), whole_body=st.booleans())
async def test_any_bytes_arrive_as_they_were_sent(
    world: _World, pieces: list[bytes], whole_body: bool
) -> None:
    world.forget()
    length = [(b"content-length", b"%d" % sum(map(len, pieces)))] if whole_body else []
    world.teacher.then(Scripted(pieces, headers=[(b"content-type", b"text/event-stream"), *length]))
    body = b"".join(pieces)
    assert (await _post(world, body))[1] == body
    assert world.teacher.heard[0].body == body
    assert (world.taken[0].request, world.taken[0].response, world.taken[0].complete) == (body, body, True)


# --- dialects -------------------------------------------------------------------------------------

_PATHS = {
    "/v1/chat/completions": Dialect.CHAT,
    "/v1/responses": Dialect.RESPONSES,
    "/v1/embeddings": Dialect.EMBEDDINGS,
    "/v1/completions": Dialect.COMPLETIONS,
    "/v1/messages": Dialect.MESSAGES,
}


@pytest.mark.parametrize("path", [*_PATHS, "/v1/messages?beta=true", "/v1/%63hat/completions"])
async def test_every_dialect_is_passed_on_to_its_teacher_and_recorded(world: _World, path: str) -> None:
    teacher = world.claude if path.startswith("/v1/messages") else world.teacher
    answer = b'{ "odd" : 1.0 }'
    teacher.then(Scripted([answer]))
    async with aiohttp.ClientSession() as session:
        url = URL(world.url + path, encoded=True)
        async with session.post(url, data=b'{ "model":"m" }') as response:
            received = await response.read()
    assert (teacher.heard[0].target, teacher.heard[0].body) == (path, b'{ "model":"m" }')
    (taken,) = world.taken
    assert (received, taken.response, taken.request) == (answer, answer, b'{ "model":"m" }')
    assert taken.dialect == _PATHS[path.partition("?")[0].replace("%63", "c")]
    assert response.headers["x-offramp-id"] == taken.id


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        ("/v1/messages/count_tokens", {}),
        ("/v1/messages/batches/b1", {}),
        ("/v1/models", {"anthropic-version": "2023-06-01"}),
    ],
)
async def test_what_is_anthropics_goes_there_unrecorded(
    world: _World, target: str, fields: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(world.url + target, headers=fields) as response,
    ):
        assert response.status == 200
    assert ([heard.target for heard in world.claude.heard], world.teacher.heard) == ([target], [])
    assert world.taken == []


_CLAUDE: Any = {"model": "claude", "max_tokens": 99, "messages": _HELLO}


async def test_anthropics_client_is_answered_by_its_teacher(world: _World) -> None:
    said = {"type": "text", "text": "Good day."}
    world.claude.then(whole({"id": "m", "type": "message", "role": "assistant", "content": [said]}))
    message: Any = await world.claude_client.messages.create(**_CLAUDE)
    assert message.content[0].text == "Good day."
    assert "sk-2" in repr(world.claude.heard[0].headers)


async def test_anthropics_client_is_answered_by_a_specialist(world: _World) -> None:
    world.answers_itself(Answer("Good day."))
    message: Any = await world.claude_client.messages.create(**_CLAUDE)
    assert (message.content[0].text, message.model, message.stop_reason) == (
        "Good day.",
        "claude",
        "end_turn",
    )
    async with world.claude_client.messages.stream(**_CLAUDE) as stream:
        assert await stream.get_final_text() == "Good day."
    assert world.claude.heard == []
    assert [taken.dialect for taken in world.taken] == [Dialect.MESSAGES] * 2


async def test_the_responses_client_is_answered_by_a_specialist(world: _World) -> None:
    world.answers_itself(Answer("Good day."))
    response = await world.client.responses.create(model="m", input="hello", store=False)
    assert response.output_text == "Good day."


async def test_anthropics_client_understands_the_gateways_errors(world: _World) -> None:
    world.claude.then(Scripted(breaks_off=True))
    with pytest.raises(anthropic.InternalServerError, match="broke off") as caught:
        await world.claude_client.messages.create(**_CLAUDE)
    assert caught.value.status_code == 502
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "api_error")


async def test_anthropics_own_key_takes_the_place_of_the_clients() -> None:
    claude = ScriptedTeacher()
    async with (
        Server(claude, grace_s=1) as behind,
        contextlib.aclosing(KeyedUpstream(PooledUpstream(behind.address.url), "sk-ours")) as upstream,
        Server(Gateway(upstream), grace_s=1) as front,
        aiohttp.ClientSession() as session,
        session.post(front.address.url + "/v1/messages", headers={"Authorization": "Bearer x"}) as response,
    ):
        assert response.status == 200
    assert (claude.heard[0].header("x-api-key"), claude.heard[0].header("authorization")) == ("sk-ours", None)


# --- who may do what ------------------------------------------------------------------------------


async def test_the_guard_is_asked_with_method_and_path(world: _World) -> None:
    await _post(world, b"{}")
    await _get(world, "/v1/models?x=1")
    await _get(world, "/offramp/status")
    await _get(world, "/health")
    assert world.guard.asked == [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/offramp/status"),
    ]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refusal(401, "Who are you?"), "AuthenticationError"),
        (Refusal(403, "Not you."), "PermissionDeniedError"),
        (Refusal(429, "Not so often.", 7), "RateLimitError"),
    ],
)
async def test_a_refusal_is_each_clients_own_exception(world: _World, refusal: Refusal, error: str) -> None:
    world.guard.says = refusal
    with pytest.raises(getattr(openai, error), match=refusal.message.rstrip(".?")):
        await _ask(world)
    with pytest.raises(getattr(anthropic, error), match=refusal.message.rstrip(".?")) as caught:
        await world.claude_client.messages.create(**_CLAUDE)
    assert caught.value.response.headers.get("retry-after") == ("7" if refusal.retry_after else None)
    assert (world.teacher.heard, world.claude.heard, world.taken) == ([], [], [])


async def test_what_the_guard_drops_does_not_reach_the_teacher(world: _World) -> None:
    world.guard.says = Admission(who="who-7", trainable=False, drop=(b"authorization", b"x-offramp-key"))
    await _post(world, b"{}", **{"Authorization": "Bearer ofk_secret", "X-Other": "1"})
    heard = world.teacher.heard[0]
    assert (heard.header("authorization"), heard.header("x-other")) == (None, "1")
    assert (world.taken[0].who, world.taken[0].trainable) == ("who-7", False)


@pytest.mark.parametrize("says", [Admission(record=False), Admission()], ids=["key", "call"])
async def test_a_call_may_stay_unrecorded(world: _World, says: Admission) -> None:
    world.guard.says = says
    fields = {} if not says.record else {"X-Offramp-Record": "No", "Accept-Encoding": "br"}
    status, _, headers = await _post(world, b"{}", **fields)
    assert (status, world.taken) == (200, [])
    assert headers["x-offramp-id"]
    assert world.teacher.heard[0].header("x-offramp-record") is None
    # Nobody has to read it, so the client's own wish for compression holds.
    assert not fields or world.teacher.heard[0].header("accept-encoding") == "br"


async def test_a_key_for_some_models_gets_no_other(world: _World) -> None:
    world.guard.says = Admission(models=("small",))
    assert (await _post(world, b'{"model":"small"}'))[0] == 200
    for body in (b'{"model":"large"}', b"{}", b"not json", b'{"model":"small","model":"large"}'):
        assert (await _post(world, body))[0] == 403
    assert len(world.teacher.heard) == 1


async def test_of_two_models_the_teacher_sees_the_one_that_was_allowed(world: _World) -> None:
    world.guard.says = Admission(models=("small",))
    assert (await _post(world, b'{"model":"large", "model":"small"}'))[0] == 200
    assert world.teacher.heard[0].body == b'{"model":"small", "model":"small"}'


@pytest.mark.parametrize("target", ["/v1/../admin", "/v1/%2e%2E/admin", "/v1/files/..%2f..%2fadmin"])
async def test_a_path_that_leaves_the_teachers_api_is_refused(world: _World, target: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert (await _raw(world, request))[0] == 400
    assert world.teacher.heard == []


# --- trouble --------------------------------------------------------------------------------------


async def test_a_slow_teacher_is_a_504_that_names_the_cause() -> None:
    teacher = ScriptedTeacher(otherwise=whole(says("late"), delay_s=60))
    async with (
        Server(teacher, grace_s=1) as behind,
        contextlib.aclosing(PooledUpstream(behind.address.url, timeouts=Timeouts(silence=0.1))) as upstream,
        Server(Gateway(upstream), grace_s=1) as front,
        openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match="did not answer in time") as caught:
            await client.chat.completions.create(model="m", messages=_HELLO)
    assert caught.value.status_code == 504
    assert caught.value.code == "upstream_timeout"
    assert caught.value.response.headers["x-offramp-route"] == "teacher"


async def test_a_teacher_that_breaks_off_before_its_first_byte_is_a_502(world: _World) -> None:
    world.teacher.then(Scripted(breaks_off=True))
    with pytest.raises(openai.InternalServerError, match="broke off") as caught:
        await _ask(world)
    assert caught.value.status_code == 502


async def test_half_a_stream_breaks_off_for_the_client_too(world: _World) -> None:
    pieces = streamed(says("a longer answer")).pieces[:3]
    world.teacher.then(Scripted(pieces, headers=[(b"content-type", b"text/event-stream")], breaks_off=True))
    stream = await _ask(world, stream=True)
    for _ in pieces:
        await anext(stream)
    with pytest.raises(openai.APIConnectionError):
        await anext(stream)
    assert world.gateway.counters.value(Metric.ERRORS, "UpstreamError") > 0
    assert (world.taken[0].complete, world.taken[0].response) == (False, b"".join(pieces))


async def test_an_unreachable_teacher_is_a_502_that_says_where_it_should_be() -> None:
    upstream = PooledUpstream("http://127.0.0.1:9/v1", connect_retries=0)
    async with (
        contextlib.aclosing(upstream),
        Server(Gateway(upstream), grace_s=1) as server,
        openai.AsyncOpenAI(base_url=server.address.url + "/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError, match=r"127\.0\.0\.1:9/v1 cannot be reached"):
            await client.chat.completions.create(model="m", messages=_HELLO)


async def test_a_client_that_leaves_while_it_waits_cancels_the_teachers_work(world: _World) -> None:
    world.teacher.then(whole(says("late"), delay_s=60))
    gone = world.gateway.counters.value(Metric.GONE)
    asking = asyncio.create_task(_post(world, b"{}"))
    await _eventually(lambda: len(world.teacher.heard) == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await _eventually(lambda: world.teacher.abandoned == 1)
    await _eventually(lambda: world.gateway.counters.value(Metric.GONE) == gone + 1)
    assert (world.taken[0].status, world.taken[0].complete) == (499, False)


async def test_a_client_that_leaves_a_stream_cancels_the_teachers_work(world: _World) -> None:
    world.teacher.then(streamed(says("a slow answer"), pause_s=60))
    stream = await _ask(world, stream=True)
    await anext(stream)
    await stream.close()
    await _eventually(lambda: world.teacher.abandoned == 1)
    await _eventually(lambda: len(world.taken) == 1)
    assert (world.taken[0].status, world.taken[0].complete) == (200, False)


async def test_a_recorder_that_fails_does_not_touch_the_traffic(world: _World) -> None:
    world.tapped.failure = RuntimeError("disk on fire")
    faults = world.gateway.counters.value(Metric.FAULTS, "tap")
    assert (await _ask(world)).choices[0].message.content == "ok"
    assert world.gateway.counters.value(Metric.FAULTS, "tap") == faults + 1


# --- routing --------------------------------------------------------------------------------------


async def test_an_idle_router_is_not_asked(world: _World) -> None:
    response = await _ask_raw(world)
    assert world.router.asked == []
    assert response.headers["x-offramp-route"] == "teacher"
    assert not {"x-offramp-task", "x-offramp-reason", "x-offramp-confidence"} & set(response.headers)


async def test_a_specialist_answers_without_the_teacher(world: _World) -> None:
    world.answers_itself(Answer("Good day."))
    response = await _ask_raw(world)
    completion = response.parse()
    assert completion.choices[0].message.content == "Good day."
    assert (completion.model, completion.choices[0].finish_reason) == ("gpt-4o", "stop")
    assert completion.usage.total_tokens > 0
    assert world.teacher.heard == []


async def test_the_fields_say_who_answered(world: _World) -> None:
    world.answers_itself(Answer("x"))
    headers = (await _ask_raw(world)).headers
    names = ("x-offramp-route", "x-offramp-task", "x-offramp-confidence", "x-offramp-reason")
    assert [headers.get(name) for name in names] == ["s1", "t1", "0.988", None]


async def test_a_specialists_tool_call_has_openais_form(world: _World) -> None:
    world.answers_itself(_BOOKING)
    choice = (await _ask(world, tools=_TOOLS)).choices[0]
    call = choice.message.tool_calls[0]
    assert call.id.startswith("call_")
    assert (call.type, call.function.name) == ("function", "book")
    assert json.loads(call.function.arguments) == {"to": "Zürich", "seats": 2}
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)


async def test_a_specialist_answers_a_stream_with_a_stream(world: _World) -> None:
    world.answers_itself(_BOOKING)
    asked: Any = {"model": "gpt-4o", "messages": _HELLO, "tools": _TOOLS}
    async with world.client.chat.completions.stream(**asked) as stream:
        completion: Any = await stream.get_final_completion()
    call = completion.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"to": "Zürich", "seats": 2}
    assert completion.model == "gpt-4o"


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_specialists_stream_ends_with_usage_where_asked(world: _World, wanted: bool) -> None:
    world.answers_itself(Answer("Good day."))
    options = {"stream_options": _USAGE} if wanted else {}
    chunks = [chunk async for chunk in await _ask(world, stream=True, **options)]
    assert (chunks[-1].usage is not None) is wanted


async def test_the_old_function_form_is_answered_in_the_old_form(world: _World) -> None:
    world.answers_itself(_BOOKING)
    choice = (await _ask(world, functions=[_TOOLS[0]["function"]])).choices[0]
    assert choice.message.function_call.name == "book"
    assert choice.finish_reason == "function_call"


async def test_a_deferred_call_goes_to_the_teacher_with_the_reason(world: _World) -> None:
    world.router.idle = False
    world.router.routing = Routing(task="t1", reason="below threshold", confidence=0.5)
    headers = (await _ask_raw(world)).headers
    names = ("x-offramp-route", "x-offramp-task", "x-offramp-confidence", "x-offramp-reason")
    assert [headers.get(name) for name in names] == ["teacher", "t1", "0.500", "below threshold"]
    assert len(world.teacher.heard) == 1


@pytest.mark.parametrize("fields", [{"n": 2}, {"logprobs": True}, {"top_logprobs": 3, "logprobs": True}])
async def test_what_no_specialist_can_give_goes_to_the_teacher(world: _World, fields: JsonObject) -> None:
    world.answers_itself(Answer("x"))
    response = await _ask_raw(world, **fields)
    assert response.headers["x-offramp-route"] == "teacher"
    assert response.headers["x-offramp-reason"]
    assert world.router.asked == []


async def test_a_router_that_fails_means_the_teacher(world: _World) -> None:
    world.answers_itself(Answer("x"))
    world.router.failure = RuntimeError("a bug")
    response = await _ask_raw(world)
    assert response.parse().choices[0].message.content == "ok"
    assert response.headers["x-offramp-reason"] == "router failed"


async def test_the_record_says_who_answered(world: _World) -> None:
    world.answers_itself(Answer("Good day."))
    await _ask(world)
    call = world.taken[0]
    assert (call.route, call.meta) == ("s1", {"task": "t1", "confidence": 0.98765})
    assert json.loads(call.response)["choices"][0]["message"]["content"] == "Good day."


# --- its own pages --------------------------------------------------------------------------------


async def _get(world: _World, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(world.url + path) as response:
        return response.status, await response.text()


async def test_health_names_the_version(world: _World) -> None:
    status, text = await _get(world, "/health")
    assert (status, json.loads(text)) == (200, {"status": "ok", "version": offramp.__version__})


async def test_status_says_what_it_was_given(world: _World) -> None:
    assert json.loads((await _get(world, "/offramp/status"))[1]) == {"live": ["s1"]}


async def test_metrics_count_the_calls(world: _World) -> None:
    before = world.gateway.counters.value(Metric.CALLS, "teacher")
    await _ask(world)
    assert world.gateway.counters.value(Metric.CALLS, "teacher") == before + 1
    line = 'offramp_calls_total{route="teacher",dialect="chat",status="200"} '
    assert line in (await _get(world, "/metrics"))[1]


async def test_an_unknown_path_says_what_there_is(world: _World) -> None:
    status, text = await _get(world, "/chat/completions")
    assert status == 404
    assert f"Set the client's base URL to {world.url}/v1" in json.loads(text)["error"]["message"]
    assert world.teacher.heard == []


# --- with recorded calls --------------------------------------------------------------------------


async def test_recorded_calls_replay_through_the_gateway() -> None:
    recording = Recording()
    recording.add({"model": "m", "messages": _HELLO}, says("Recorded."))
    async with (
        Server(Replay(recording), grace_s=1) as behind,
        contextlib.aclosing(PooledUpstream(behind.address.url)) as upstream,
        Server(Gateway(upstream), grace_s=1) as front,
        openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="k") as client,
    ):
        answer = await client.chat.completions.create(model="m", messages=_HELLO)
        with pytest.raises(openai.NotFoundError, match="None of the 1 recorded calls"):
            await client.chat.completions.create(model="other", messages=_HELLO)
    assert answer.choices[0].message.content == "Recorded."
