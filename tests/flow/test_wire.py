"""Recorded traffic of real providers through the gateway: clients see what they see without it.

The teacher sends the recorded bytes; the unmodified official clients ask it directly and through the gateway.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anthropic
import httpx2
import openai
import pytest
import pytest_asyncio
from tests.flow.wire import BUNDLED, CASE, Recorded, RecordedTeacher, recorded

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.core.decision import Routing
from offramp.dialect import FORMS
from offramp.gateway import Gateway
from offramp.record.parse import Parser
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from pydantic import BaseModel

    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing
    from offramp.record.exchange import Exchange

    _Client = TypeVar("_Client", openai.AsyncOpenAI, anthropic.AsyncAnthropic)

pytestmark = pytest.mark.asyncio(loop_scope="module")

_OF_CONNECTION = {"date", "server", "connection", "transfer-encoding", "keep-alive"}
_CHAT, _RESPONSES, _MESSAGES = "/chat/completions", "/responses", "/messages"


@dataclass(slots=True)
class _Router:
    """A specialist that always has the same answer, or is not there."""

    answer: Answer | None = None

    @property
    def idle(self) -> bool:
        return self.answer is None

    async def route(self, _request: JsonObject, _standing: Standing | None = None) -> Routing:
        return Routing(task="t", route="s", confidence=0.9, answer=self.answer)

    async def observe_audit(self, *_: object) -> None:
        raise AssertionError("nothing is audited")


@dataclass(slots=True)
class _World:
    """The teacher's exchanges, its address and the gateway's, and clients of the one and of the other."""

    exchanges: list[Recorded]
    teacher: str
    gateway: str
    router: _Router
    openais: tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]
    anthropics: tuple[anthropic.AsyncAnthropic, anthropic.AsyncAnthropic]
    taken: list[Exchange] = field(default_factory=list)

    def of(self, *paths: str, stream: bool | None = None) -> list[Recorded]:
        found = [e for e in self.exchanges if e.path in paths and stream in (None, e.stream)]
        assert found
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[_World]:
    further = request.config.getoption("--wire-data", default=[])
    exchanges = list(recorded([BUNDLED, *map(Path, further)]))
    router, taken = _Router(), list[Any]()
    async with contextlib.AsyncExitStack() as stack:
        behind = await stack.enter_async_context(Server(RecordedTeacher(exchanges), grace_s=1))
        upstream = PooledUpstream(behind.address.url)
        stack.push_async_callback(upstream.aclose)
        gateway = Gateway(upstream, router=router, tap=taken.append)
        stack.push_async_callback(gateway.aclose)
        front = await stack.enter_async_context(Server(gateway, grace_s=1))
        urls = behind.address.url, front.address.url
        direct, through = (
            openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0) for url in urls
        )
        plain, behind_it = (
            anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) for url in urls
        )
        for client in (direct, through, plain, behind_it):
            stack.push_async_callback(client.close)
        yield _World(exchanges, *urls, router, (direct, through), (plain, behind_it), taken)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: _World) -> _World:
    shared.router.answer = None
    shared.taken.clear()
    return shared


async def test_status_headers_and_bytes_are_the_teachers(world: _World) -> None:
    async with httpx2.AsyncClient(timeout=60) as client:
        for exchange in world.exchanges:
            direct, through = [
                await client.post(
                    f"{url}/v1{exchange.path}", json=exchange.request, headers={CASE: exchange.name}
                )
                for url in (world.teacher, world.gateway)
            ]
            assert through.content == direct.content == exchange.body, exchange.name
            assert through.status_code == exchange.status, exchange.name
            assert _fields(through) == _fields(direct), exchange.name


def _fields(response: httpx2.Response) -> list[tuple[str, str]]:
    return sorted(
        (name, value)
        for name, value in response.headers.multi_items()
        if name not in _OF_CONNECTION and not name.startswith("x-offramp-")
    )


async def test_the_openai_client_sees_the_same_completions_and_errors(world: _World) -> None:
    await _assert_same(world.openais, _create_chat, world.of(_CHAT, stream=False))


async def test_the_openai_client_sees_the_same_streams(world: _World) -> None:
    await _assert_same(world.openais, _create_chat, world.of(_CHAT, stream=True))


async def test_the_openai_client_sees_the_same_responses(world: _World) -> None:
    await _assert_same(world.openais, _create_response, world.of(_RESPONSES))


async def test_the_openai_client_sees_the_same_old_completions_and_embeddings(world: _World) -> None:
    await _assert_same(world.openais, _create_completion, world.of("/completions"))
    await _assert_same(world.openais, _create_embeddings, world.of("/embeddings"))


async def test_the_anthropic_client_sees_the_same_messages(world: _World) -> None:
    async def create(client: anthropic.AsyncAnthropic, exchange: Recorded) -> Any:
        return await client.messages.create(**_known(client.messages.create, exchange))

    await _assert_same(world.anthropics, create, world.of(_MESSAGES))


async def _create_chat(client: openai.AsyncOpenAI, exchange: Recorded) -> Any:
    return await client.chat.completions.create(**_known(client.chat.completions.create, exchange))


async def _create_response(client: openai.AsyncOpenAI, exchange: Recorded) -> Any:
    return await client.responses.create(**_known(client.responses.create, exchange))


async def _create_completion(client: openai.AsyncOpenAI, exchange: Recorded) -> Any:
    return await client.completions.create(**_known(client.completions.create, exchange))


async def _create_embeddings(client: openai.AsyncOpenAI, exchange: Recorded) -> Any:
    return await client.embeddings.create(**_known(client.embeddings.create, exchange))


def _known(create: Callable[..., Any], exchange: Recorded) -> dict[str, Any]:
    """Pass fields that the client knows by name, others as users do."""
    names = inspect.signature(create).parameters
    body = {name: value for name, value in exchange.request.items() if name in names}
    extra = {name: value for name, value in exchange.request.items() if name not in names}
    return {**body, "extra_body": extra, "extra_headers": {CASE: exchange.name}}


async def _outcome(asking: Awaitable[Any]) -> Any:
    """Everything a caller can see: each piece, and the exception with what it carries."""
    seen: list[Any] = []
    try:
        made = await asking
        if not hasattr(made, "__aiter__"):
            return made.model_dump(warnings=False)
        async for piece in made:
            seen.append(piece.model_dump())  # noqa: PERF401 - what came before an error counts
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        seen.append((type(error).__name__, error.status_code, error.body, str(error), error.request_id))
    except (openai.APIError, anthropic.APIError, json.JSONDecodeError) as error:
        seen.append((type(error).__name__, str(error)))
    return seen


async def _assert_same(
    clients: tuple[_Client, _Client],
    create: Callable[[_Client, Recorded], Awaitable[Any]],
    exchanges: Iterable[Recorded],
) -> None:
    for exchange in exchanges:
        direct, through = [await _outcome(create(client, exchange)) for client in clients]
        assert direct, exchange.name
        assert through == direct, exchange.name


@dataclass(frozen=True, slots=True)
class _Unmasked:
    value: Any
    counts: dict[str, int] = field(default_factory=dict)


async def test_the_recorder_reads_what_was_recorded(world: _World) -> None:
    parser = Parser(_Unmasked, b"k" * 32)
    async with httpx2.AsyncClient(timeout=60) as client:
        for exchange in world.of(_CHAT):
            world.taken.clear()
            headers = {CASE: exchange.name}
            await client.post(f"{world.gateway}/v1{_CHAT}", json=exchange.request, headers=headers)
            call = parser.parse(world.taken[0])
            assert call.request == exchange.request, exchange.name
            assert call.status == exchange.status, exchange.name
            assert exchange.response is not None
            assert answer_of(call.response) == answer_of(exchange.response), exchange.name
            assert _reasons(call.response) == _reasons(exchange.response), exchange.name
            counted = exchange.response.get("usage")
            assert not counted or call.usage.prompt_tokens == counted["prompt_tokens"], exchange.name


def _reasons(response: JsonObject) -> list[Any]:
    return [choice.get("finish_reason") for choice in response.get("choices") or []]


async def test_the_recorder_folds_messages_as_the_anthropic_client_does(world: _World) -> None:
    form = FORMS[_MESSAGES]
    folded = 0
    for exchange in world.of(_MESSAGES, stream=True):
        try:
            official = await _official_message(world.anthropics[1], exchange)
        except (anthropic.APIStatusError, AssertionError):
            official = None
        made = form.fold(exchange.body)
        if official is None or official.get("stop_reason") is None:
            assert not made.complete, exchange.name
            continue
        folded += 1
        assert made.body["content"] == official["content"], exchange.name
        assert made.body["stop_reason"] == official["stop_reason"], exchange.name
        assert made.body["usage"]["output_tokens"] == official["usage"]["output_tokens"], exchange.name
    assert folded >= 3


async def _official_message(client: anthropic.AsyncAnthropic, exchange: Recorded) -> dict[str, Any]:
    fields = _known(client.messages.stream, exchange)
    fields["extra_body"].pop("stream")
    async with client.messages.stream(**fields) as stream:
        final = await stream.get_final_message()
    return final.model_dump(exclude_unset=True)


_BOOKING = Answer("I book it.", (ToolCall("book", {"to": "Zürich", "seats": 2}),))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [_CHAT, _RESPONSES, _MESSAGES])
async def test_a_specialist_answers_in_every_dialect(world: _World, path: str, stream: bool) -> None:
    world.router.answer = _BOOKING
    form = FORMS[path]
    ask = {_CHAT: _completion, _RESPONSES: _response, _MESSAGES: _message}[path]
    made = await ask(world, stream)
    assert answer_of(form.chat_response(made.model_dump())) == _BOOKING
    call = Parser(_Unmasked, b"k" * 32).parse(world.taken[0])
    assert (call.dialect, call.route, call.stream) == (form.dialect, "s", stream)
    assert answer_of(call.response) == _BOOKING


_ASKED: Any = [{"role": "user", "content": "Book it."}]


async def _completion(world: _World, stream: bool) -> BaseModel:
    chat = world.openais[1].chat.completions
    if not stream:
        return await chat.create(model="m", messages=_ASKED)
    async with chat.stream(model="m", messages=_ASKED) as pieces:
        return await pieces.get_final_completion()


async def _response(world: _World, stream: bool) -> BaseModel:
    responses = world.openais[1].responses
    if not stream:
        return await responses.create(model="m", input=_ASKED, store=False)
    async with responses.stream(model="m", input=_ASKED, store=False) as pieces:
        return await pieces.get_final_response()


async def _message(world: _World, stream: bool) -> BaseModel:
    messages = world.anthropics[1].messages
    if not stream:
        return await messages.create(model="m", max_tokens=9, messages=_ASKED)
    async with messages.stream(model="m", max_tokens=9, messages=_ASKED) as pieces:
        return await pieces.get_final_message()
