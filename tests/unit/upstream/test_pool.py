from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import BadInput, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from offramp.testing.raw_server import RawServer, Talk, answering, answering_once
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from offramp.testing.raw_server import Script
    from offramp.upstream.port import UpstreamResponse

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_HUGE = 32 << 20


@contextlib.asynccontextmanager
async def _between(
    script: Script, *, silence: float = 30, idle: float = 30, **options: object
) -> AsyncIterator[tuple[PooledUpstream, RawServer]]:
    async with RawServer(script, **options) as server:  # type: ignore[arg-type] # test shorthand
        timeouts = Timeouts(connect=30, silence=silence, idle=idle)
        async with contextlib.aclosing(PooledUpstream(server.url, timeouts=timeouts)) as upstream:
            yield upstream, server


async def _ask(upstream: PooledUpstream, method: str = "POST", body: bytes = b"{}") -> bytes:
    return await _body(await upstream.send(method, "/x", [], body))


async def _body(response: UpstreamResponse) -> bytes:
    return b"".join([piece async for piece in response])


async def _eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the other side sets no event
            await asyncio.sleep(0.002)


# Connections


async def test_a_finished_connection_is_used_again() -> None:
    async with _between(answering(_OK)) as (upstream, server):
        for _ in range(5):
            assert await _ask(upstream) == b"ok"
    assert server.connections == 1


async def test_a_connection_is_free_once_the_last_byte_is_here_even_if_nobody_read_it() -> None:
    async with _between(answering(_OK)) as (upstream, server):
        held = [await upstream.send("POST", "/x", [], b"") for _ in range(3)]
        assert [await _body(response) for response in held] == [b"ok"] * 3
    assert server.connections == 1


async def test_there_are_as_many_connections_as_calls_and_the_last_used_is_used_next() -> None:
    used: list[int] = []

    async def script(talk: Talk) -> None:
        while True:
            await talk.hear()
            used.append(talk.number)
            await _eventually(lambda: len(used) >= 20)
            await talk.say(_OK)

    async with _between(script) as (upstream, server):
        await asyncio.gather(*(_ask(upstream) for _ in range(20)))
        assert server.connections == 20
        for _ in range(5):
            await _ask(upstream)
    assert len(set(used[20:])) == 1


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    left = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(_OK)
        await talk.gone()
        left.set()

    async with _between(script, idle=0.05) as (upstream, _):
        await _ask(upstream)
        async with asyncio.timeout(30):
            await left.wait()
        assert not upstream._open


async def test_only_connections_that_are_idle_too_long_are_closed() -> None:
    async with _between(answering(_OK), idle=30) as (upstream, server):
        await _ask(upstream)
        upstream._close_idle()
        await _ask(upstream)
    assert server.connections == 1


async def test_a_response_that_says_close_ends_its_connection() -> None:
    async with _between(
        answering_once(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    ) as (upstream, server):
        for _ in range(3):
            assert await _ask(upstream) == b"ok"
    assert server.connections == 3


async def test_an_idle_connection_that_the_teacher_closed_is_not_used() -> None:
    async with _between(answering_once(_OK)) as (upstream, server):
        for number in range(1, 4):
            assert await _ask(upstream) == b"ok"
            await _eventually(lambda: not upstream._idle)
            assert server.connections == number


async def test_a_close_that_the_event_loop_has_not_seen_yet_is_seen_before_writing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30), contextlib.aclosing(PooledUpstream(url)) as upstream:
            for _ in range(2):
                asking = asyncio.create_task(_ask(upstream))
                stream, _ = await loop.sock_accept(listener)
                await loop.sock_recv(stream, 1 << 16)
                await loop.sock_sendall(stream, _OK)
                assert await asking == b"ok"
                # Both within one turn of the event loop: time passes, and the teacher closes.
                for connection in upstream._idle:
                    connection._heard -= 2
                stream.close()


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", b"x", _OK])
async def test_what_nobody_asked_for_is_no_answer_to_the_next_request(unasked: bytes) -> None:
    answered = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(_OK)
        if talk.number == 0:
            await answered.wait()
            await talk.say(unasked)
        await talk.gone()

    async with _between(script) as (upstream, server):
        await _ask(upstream)
        answered.set()
        await _eventually(lambda: not upstream._idle)
        assert await _ask(upstream) == b"ok"
    assert server.connections == 2


async def test_a_second_answer_in_one_segment_is_no_answer_to_the_next_request() -> None:
    async with _between(answering(_OK + b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad")) as (
        upstream,
        server,
    ):
        assert await _ask(upstream) == b"ok"
        assert await _ask(upstream) == b"ok"
    assert server.connections == 2


async def test_a_closed_pool_opens_again() -> None:
    async with _between(answering(_OK)) as (upstream, server):
        await _ask(upstream)
        await upstream.aclose()
        assert await _ask(upstream) == b"ok"
    assert server.connections == 2


async def test_two_can_close_the_pool_at_once() -> None:
    async with asyncio.timeout(30), _between(answering(_OK)) as (upstream, _):
        await asyncio.gather(*(_ask(upstream) for _ in range(3)))
        await asyncio.gather(upstream.aclose(), upstream.aclose())
        assert not upstream._open


async def test_closing_the_pool_breaks_off_what_is_under_way() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        await talk.gone()

    async with _between(script) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        assert await anext(response) == b"half"
        waiting = asyncio.create_task(anext(response))
        await asyncio.sleep(0)
        await upstream.aclose()
        with pytest.raises(UpstreamError, match="given up"):
            await waiting


# What is asked twice, and what is not


def _dies_on_reuse(end: Callable[[Talk], None], heard: list[bytes], *, says: bytes = b"") -> Script:
    """Answer the first request of the first connection, read the second, and end without an answer."""

    async def script(talk: Talk) -> None:
        while True:
            heard.append((await talk.hear()).head)
            if talk.number == 0 and len(heard) == 2:
                if says:
                    await talk.say(says)
                end(talk)
                return
            await talk.say(_OK)

    return script


def _closes(talk: Talk) -> None:
    """The end of the script closes."""


_ENDS = pytest.mark.parametrize("end", [_closes, Talk.reset, Talk.half_close])


@_ENDS
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_written_request_that_changes_something_is_never_executed_twice(
    end: Callable[[Talk], None], method: str
) -> None:
    heard: list[bytes] = []
    async with _between(_dies_on_reuse(end, heard)) as (upstream, _):
        await _ask(upstream)
        with pytest.raises(UpstreamError):
            await _ask(upstream, method)
        assert len(heard) == 2
        assert await _ask(upstream) == b"ok"


@_ENDS
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_request_that_changes_nothing_is_asked_again_where_a_kept_connection_died(
    end: Callable[[Talk], None], method: str
) -> None:
    heard: list[bytes] = []
    async with _between(_dies_on_reuse(end, heard)) as (upstream, server):
        await _ask(upstream)
        assert await _ask(upstream, method, b"") == b"ok"
    assert [len(heard), server.connections] == [3, 2]


async def test_a_request_is_asked_again_once_only() -> None:
    heard: list[bytes] = []

    async def script(talk: Talk) -> None:
        while True:
            heard.append((await talk.hear()).head)
            if len(heard) > 1:
                return
            await talk.say(_OK)

    async with _between(script) as (upstream, _):
        await _ask(upstream)
        with pytest.raises(UpstreamError, match="before it answered"):
            await _ask(upstream, "GET", b"")
    assert len(heard) == 3


async def test_nothing_is_asked_again_once_a_byte_of_an_answer_came() -> None:
    heard: list[bytes] = []
    async with _between(_dies_on_reuse(_closes, heard, says=b"HTTP/1.1 200")) as (upstream, _):
        await _ask(upstream)
        with pytest.raises(UpstreamError, match="middle of the response's head"):
            await _ask(upstream, "GET", b"")
    assert len(heard) == 2


@_ENDS
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_is_asked_again_on_a_fresh_connection(end: Callable[[Talk], None], method: str) -> None:
    heard: list[bytes] = []

    async def script(talk: Talk) -> None:
        heard.append((await talk.hear()).head)
        end(talk)

    async with _between(script) as (upstream, _):
        with pytest.raises(UpstreamError):
            await _ask(upstream, method)
    assert len(heard) == 1


async def test_silence_is_no_reason_to_ask_again() -> None:
    heard: list[bytes] = []

    async def script(talk: Talk) -> None:
        heard.append((await talk.hear()).head)
        await talk.say(_OK)
        heard.append((await talk.hear()).head)
        await talk.gone()

    async with _between(script, silence=0.1) as (upstream, _):
        await _ask(upstream)
        with pytest.raises(UpstreamTimeout):
            await _ask(upstream, "GET", b"")
    assert len(heard) == 2


async def test_a_teacher_that_comes_up_in_time_is_reached_by_the_retry() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        upstream = PooledUpstream(url, connect_retries=3000, retry_pause_s=0.01)
        async with contextlib.aclosing(upstream):
            asking = asyncio.create_task(_ask(upstream))
            await asyncio.sleep(0.05)
            listener.listen()
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            stream, _ = await loop.sock_accept(listener)
            with stream:
                await loop.sock_recv(stream, 1 << 16)
                await loop.sock_sendall(stream, _OK)
                assert await asking == b"ok"


async def test_a_teacher_that_closes_before_it_was_asked_is_unreachable() -> None:
    async def script(talk: Talk) -> None:
        talk.reset()

    async with _between(script) as (upstream, _):
        with pytest.raises(UpstreamError):
            await _ask(upstream)


# Letting go


async def test_cancelling_the_wait_for_the_head_closes_the_connection() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.hear()
        asked.set()
        await talk.gone()
        left.set()

    async with _between(script) as (upstream, _):
        asking = asyncio.create_task(_ask(upstream))
        await asked.wait()
        asking.cancel()
        async with asyncio.timeout(30):
            await left.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_cancelling_while_a_connection_is_made_leaves_none_behind() -> None:
    async def script(talk: Talk) -> None:
        await talk.gone()

    async with RawServer(script) as server:
        url = server.url.replace("http:", "https:")
        async with contextlib.aclosing(PooledUpstream(url)) as upstream:
            asking = asyncio.create_task(_ask(upstream))
            await _eventually(lambda: server.connections == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking


async def test_letting_go_of_an_unfinished_response_closes_the_connection() -> None:
    left = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        await talk.gone()
        left.set()

    async with _between(script) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        await response.aclose()
        await response.aclose()
        async with asyncio.timeout(30):
            await left.wait()


async def test_a_response_let_go_does_not_look_finished() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        await talk.gone()

    async with _between(script) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        await response.aclose()
        with pytest.raises(UpstreamError, match="given up"):
            await anext(response)


async def test_letting_go_of_a_finished_response_leaves_its_connection_to_the_next() -> None:
    async with _between(answering(_OK)) as (upstream, server):
        first = await upstream.send("POST", "/x", [], b"")
        second = await upstream.send("POST", "/x", [], b"")
        await first.aclose()
        assert await _body(second) == b"ok"
        await second.aclose()
    assert server.connections == 1


# Pieces and flow


async def test_a_piece_is_what_arrived() -> None:
    parts = [b"data: 1\n", b"\ndata: \xc3", b"\xa9\n\n"]
    seen: asyncio.Queue[None] = asyncio.Queue()

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for part in parts:
            await seen.get()
            await talk.say(b"%x\r\n%b\r\n" % (len(part), part))
        await talk.say(b"0\r\n\r\n")
        await talk.gone()

    async with _between(script) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        seen.put_nowait(None)
        pieces = []
        async for piece in response:
            pieces.append(piece)
            seen.put_nowait(None)
    assert pieces == parts


async def test_pieces_that_arrived_before_a_break_are_handed_out_before_the_error() -> None:
    body = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nnot a chunk"
    async with _between(answering_once(body)) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        assert await anext(response) == b"half"
        with pytest.raises(UpstreamError, match="no HTTP"):
            await anext(response)


async def test_a_slow_client_makes_the_teacher_wait() -> None:
    sent = 0

    async def script(talk: Talk) -> None:
        nonlocal sent
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % _HUGE)
        for _ in range(_HUGE >> 16):
            await talk.say(bytes(1 << 16))
            sent += 1 << 16
        await talk.gone()

    async with _between(script) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < _HUGE
        size = 0
        async for piece in response:
            size += len(piece)
        assert size == _HUGE


async def test_a_client_that_makes_the_teacher_wait_does_not_run_into_silence() -> None:
    async with _between(
        answering_once(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % _HUGE, bytes(_HUGE)), silence=0.1
    ) as (upstream, _):
        response = await upstream.send("POST", "/x", [], b"")
        await asyncio.sleep(0.3)
        assert len(await _body(response)) == _HUGE


async def test_a_huge_request_waits_for_a_slow_teacher_without_a_copy_of_it() -> None:
    read_on = asyncio.Event()
    body = bytes(range(256)) * (_HUGE >> 8)
    heard: list[bytes] = []

    async def script(talk: Talk) -> None:
        await read_on.wait()
        heard.append((await talk.hear()).body)
        await talk.say(_OK)
        await talk.gone()

    async with _between(script) as (upstream, _):
        asking = asyncio.create_task(_ask(upstream, body=body))
        await _eventually(lambda: any(connection._stuck for connection in upstream._open))
        (connection,) = upstream._open
        assert connection._transport is not None
        assert connection._transport.get_write_buffer_size() < 1 << 20
        read_on.set()
        assert await asking == b"ok"
    assert heard == [body]


async def test_an_answer_before_the_whole_request_was_read_comes_back() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear_head()
        await talk.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        if talk.number == 0:
            await talk.gone()

    async with _between(script) as (upstream, server):
        response = await upstream.send("POST", "/x", [], bytes(_HUGE))
        assert (response.status, await _body(response)) == (413, b"no")
        response = await upstream.send("POST", "/x", [], b"")
        assert response.status == 413
    assert server.connections == 2


async def test_silence_between_pieces_counts_from_the_last_piece() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        for _ in range(4):
            await asyncio.sleep(0.3)
            await talk.say(b"x")
        await talk.gone()

    async with _between(script, silence=1.0) as (upstream, _):
        assert await _ask(upstream) == b"xxxx"


async def test_an_idle_connection_is_not_silent() -> None:
    async with _between(answering(_OK), silence=0.05) as (upstream, server):
        for _ in range(3):
            assert await _ask(upstream) == b"ok"
            await asyncio.sleep(0.06)
    assert server.connections == 1


async def test_silence_says_how_long_it_lasted() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.gone()

    async with _between(script, silence=0.05) as (upstream, _):
        with pytest.raises(UpstreamTimeout, match=r"silent for 0\.05 s"):
            await _ask(upstream)


# Addresses


async def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    async with _between(answering(_OK), socket_path=str(tmp_path / "teacher.sock")) as (upstream, _):
        assert await _ask(upstream) == b"ok"


async def test_a_socket_file_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    upstream = PooledUpstream(
        f"http+unix://{str(tmp_path / 'none').replace('/', '%2F')}/v1", connect_retries=0
    )
    with pytest.raises(UpstreamUnreachable, match="No such file"):
        await _ask(upstream)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 on this machine")
async def test_an_ipv6_address_is_reached_and_named_in_brackets() -> None:
    heads: list[bytes] = []

    async def script(talk: Talk) -> None:
        heads.append((await talk.hear()).head)
        await talk.say(_OK)

    async with _between(script, host="::1") as (upstream, server):
        assert await _ask(upstream) == b"ok"
        assert b"\r\nhost: [::1]:%d\r\n" % server.port in heads[0]


async def test_a_host_name_that_no_dns_can_hold_is_unreachable() -> None:
    upstream = PooledUpstream(f"http://{'a' * 70}.invalid/v1", connect_retries=0)
    with pytest.raises(UpstreamUnreachable):
        await _ask(upstream)


async def test_what_cannot_be_sent_does_not_open_a_connection() -> None:
    async with _between(answering(_OK)) as (upstream, server):
        with pytest.raises(BadInput):
            await upstream.send("POST", "/x", [(b"x-odd", b"a\r\nb")], b"")
    assert server.connections == 0
