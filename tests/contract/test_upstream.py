"""What every upstream does, whatever is behind it: a server over a socket, or an app in this process."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from offramp.core.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.testing.replay import InProcessUpstream
from offramp.testing.scripted_teacher import Scripted, ScriptedTeacher, says, streamed, whole
from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts, header_of
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from offramp.upstream.port import Headers, Upstream, UpstreamResponse

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PATIENT_S = 30.0
_IMPATIENT_S = 0.1
_HEADERS: Headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer k")]


@dataclass(frozen=True, slots=True)
class _World:
    """A teacher with two ways to it."""

    teacher: ScriptedTeacher
    patient: Upstream
    impatient: Upstream


@contextlib.asynccontextmanager
async def _pooled(teacher: ScriptedTeacher) -> AsyncIterator[_World]:
    async with _over_a_socket(teacher, PooledUpstream) as world:
        yield world


@contextlib.asynccontextmanager
async def _aiohttp(teacher: ScriptedTeacher) -> AsyncIterator[_World]:
    async with _over_a_socket(teacher, OpenAIUpstream) as world:
        yield world


@contextlib.asynccontextmanager
async def _over_a_socket(
    teacher: ScriptedTeacher, make: type[PooledUpstream | OpenAIUpstream]
) -> AsyncIterator[_World]:
    async with Server(teacher, grace_s=1) as server:
        url = server.address.url
        async with (
            contextlib.aclosing(make(url, timeouts=Timeouts(connect=30, silence=_PATIENT_S))) as patient,
            contextlib.aclosing(make(url, timeouts=Timeouts(connect=30, silence=_IMPATIENT_S))) as impatient,
        ):
            yield _World(teacher, patient, impatient)


@contextlib.asynccontextmanager
async def _in_process(teacher: ScriptedTeacher) -> AsyncIterator[_World]:
    yield _World(
        teacher,
        InProcessUpstream(teacher, silence_s=_PATIENT_S),
        InProcessUpstream(teacher, silence_s=_IMPATIENT_S),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[_pooled, _aiohttp, _in_process])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[_World]:
    make: Callable[[ScriptedTeacher], AbstractAsyncContextManager[_World]] = request.param
    async with make(ScriptedTeacher()) as made:
        yield made


@pytest.fixture
def teacher(world: _World) -> ScriptedTeacher:
    world.teacher.__init__()  # type: ignore[misc] # back to the start
    return world.teacher


@pytest.fixture
def upstream(world: _World, teacher: ScriptedTeacher) -> Upstream:
    return world.patient


@pytest.fixture
def impatient(world: _World, teacher: ScriptedTeacher) -> Upstream:
    return world.impatient


async def _post(upstream: Upstream, body: bytes = b"{}", headers: Headers = _HEADERS) -> UpstreamResponse:
    return await upstream.send("POST", "/chat/completions", headers, body)


async def _body(response: UpstreamResponse) -> bytes:
    return b"".join([piece async for piece in response])


async def _eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the other side sets no event
            await asyncio.sleep(0.005)


async def test_the_request_arrives_byte_for_byte(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    body = b'{ "messages" : [],\n"cache_control":{"a" :1.0}, "odd":"\\u00e9" }'
    await _body(await _post(upstream, body))
    assert teacher.heard[0].body == body


async def test_path_and_query_arrive_percent_encoded(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    await _body(await upstream.send("GET", "/files/a%2Fb%20c?x=%2F&y=1+2", [], b""))
    assert teacher.heard[0].target == "/v1/files/a%2Fb%20c?x=%2F&y=1+2"


async def test_the_method_arrives(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    await _body(await upstream.send("DELETE", "/files/1", [], b""))
    assert teacher.heard[0].method == "DELETE"


async def test_the_clients_fields_arrive(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    await _body(await _post(upstream, headers=[*_HEADERS, (b"x-odd", b"1"), (b"openai-beta", b"b")]))
    heard = teacher.heard[0]
    assert [heard.header(name) for name in ("authorization", "x-odd", "openai-beta")] == [
        "Bearer k",
        "1",
        "b",
    ]


async def test_no_field_is_made_up(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    await _body(await _post(upstream, headers=[]))
    names = {name for name, _ in teacher.heard[0].headers}
    assert names <= {b"host", b"content-length"}


async def test_fields_of_the_clients_connection_stay_behind(
    upstream: Upstream, teacher: ScriptedTeacher
) -> None:
    await _body(await _post(upstream, headers=[(b"te", b"trailers"), (b"proxy-authorization", b"secret")]))
    assert teacher.heard[0].header("te") is None
    assert teacher.heard[0].header("proxy-authorization") is None


async def test_a_large_body_arrives_whole(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    body = bytes(range(256)) * 20_000
    await _body(await _post(upstream, body))
    assert teacher.heard[0].body == body


@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 404, 429, 500, 503])
async def test_every_status_comes_back(upstream: Upstream, teacher: ScriptedTeacher, status: int) -> None:
    teacher.then(whole({"error": {"message": "no"}}, status=status, headers=[(b"location", b"/elsewhere")]))
    response = await _post(upstream)
    assert response.status == status
    assert await _body(response) == teacher_body({"error": {"message": "no"}})


def teacher_body(payload: dict[str, object]) -> bytes:
    return whole(payload).pieces[0]


async def test_fields_of_the_response_come_back(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(whole({}, headers=[(b"retry-after", b"7"), (b"x-request-id", b"r1")]))
    response = await _post(upstream)
    assert header_of(response.headers, b"retry-after") == b"7"
    assert header_of(response.headers, b"x-request-id") == b"r1"
    await response.aclose()


async def test_a_compressed_body_stays_compressed(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    packed = gzip.compress(b'{"a": 1}')
    teacher.then(Scripted([packed], headers=[(b"content-encoding", b"gzip")]))
    response = await _post(upstream)
    assert header_of(response.headers, b"content-encoding") == b"gzip"
    assert await _body(response) == packed


async def test_a_piece_is_there_before_the_next_is_sent(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(streamed(says("hello there"), pause_s=0.01))
    response = await _post(upstream)
    pieces = [piece async for piece in response]
    assert len(pieces) > 1
    assert b"".join(pieces) == b"".join(streamed(says("hello there")).pieces)


async def test_an_empty_body_has_no_pieces(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(Scripted(status=204))
    assert [piece async for piece in await _post(upstream)] == []


async def test_no_head_in_time_is_a_timeout(impatient: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(whole(says("late"), delay_s=60))
    with pytest.raises(UpstreamTimeout):
        await _post(impatient)


async def test_silence_in_the_middle_is_a_timeout(impatient: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(streamed(says("a slow answer"), pause_s=60))
    response = await _post(impatient)
    with pytest.raises(UpstreamTimeout):
        await _body(response)
    await response.aclose()


async def test_half_a_response_is_an_error(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(Scripted([b"data: {"], breaks_off=True))
    response = await _post(upstream)
    with pytest.raises(UpstreamError):
        await _body(response)
    await response.aclose()


async def test_letting_go_early_tells_the_teacher(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(streamed(says("a slow answer"), pause_s=60))
    response = await _post(upstream)
    await anext(response)
    await response.aclose()
    await _eventually(lambda: teacher.abandoned == 1)


async def test_cancelling_the_wait_tells_the_teacher(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.then(whole(says("late"), delay_s=60))
    waiting = asyncio.create_task(_post(upstream))
    await _eventually(lambda: len(teacher.heard) == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await _eventually(lambda: teacher.abandoned == 1)


async def test_calls_go_side_by_side(upstream: Upstream, teacher: ScriptedTeacher) -> None:
    teacher.otherwise = whole(says("ok"), delay_s=0.05)
    responses = await asyncio.gather(*(_post(upstream) for _ in range(150)))
    assert all([await _body(response) for response in responses])


async def test_a_closed_teacher_cannot_be_reached_in_process() -> None:
    upstream = InProcessUpstream(ScriptedTeacher())
    await upstream.aclose()
    with pytest.raises(UpstreamUnreachable):
        await _post(upstream)
