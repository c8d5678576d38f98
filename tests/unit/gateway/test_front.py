"""The front by itself, on real sockets: what it takes for a request, how it answers, when it gives up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.gateway.client import Core, eventually, get, line_to, post, served

from offramp.gateway.front import Patience
from offramp.upstream.serving import Server

_SECRET = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def core() -> Core:
    return Core()


# --- requests -------------------------------------------------------------------------------------


async def test_a_connection_carries_one_request_after_the_other(core: Core) -> None:
    async with served(core) as line:
        bodies = [json.loads((await line.ask(post(b"%d" % n)))[2])["body"] for n in range(3)]
    assert bodies == ["0", "1", "2"]


async def test_names_are_lowered_and_values_kept(core: Core) -> None:
    async with served(core) as line:
        await line.ask(get(b"/a", b"X-Odd:  A b", b"x-odd: c"))
    assert core.heard[0].headers == [(b"host", b"h"), (b"x-odd", b"A b"), (b"x-odd", b"c")]
    assert core.heard[0].client == "127.0.0.1"


@pytest.mark.parametrize(
    ("written", "target"),
    [
        (b"/v1/a%2Fb/?x=%20&y=/", "/v1/a%2Fb/?x=%20&y=/"),
        (b"http://other:80/v1/models?x", "/v1/models?x"),
        (b"HTTPS://other", "/"),
        (b"http://other?a=/v1/models", "/?a=/v1/models"),
    ],
)
async def test_targets_are_kept_as_written(core: Core, written: bytes, target: str) -> None:
    async with served(core) as line:
        await line.ask(get(written))
    assert core.heard[0].target == target


async def test_pipelined_requests_are_answered_in_their_order(core: Core) -> None:
    async with served(core) as line:
        await line.send(get(b"/wait0.05") + get(b"/b") + post(b"c") + get(b"/d"))
        answers = [json.loads((await line.answer())[2])["target"] for _ in range(4)]
    assert answers == ["/wait0.05", "/b", "/a", "/d"]


async def test_a_flood_of_pipelined_requests_is_answered_to_the_last(core: Core) -> None:
    async with served(core) as line:
        await line.send(b"".join(get(b"/%d" % number) for number in range(200)))
        answers = [json.loads((await line.answer())[2])["target"] for _ in range(200)]
    assert answers == [f"/{number}" for number in range(200)]


_TWO = (
    b"POST /a?b HTTP/1.1\r\nHost: h\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nX-Trailer: t\r\n\r\n" + get(b"/second")
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(_TWO) - 1), max_size=6))
def test_cut_anywhere_the_requests_stay_the_same(cuts: list[int]) -> None:
    async def run() -> Core:
        core = Core()
        async with served(core) as line:
            places = [0, *sorted(set(cuts)), len(_TWO)]
            for first, last in itertools.pairwise(places):
                await line.send(_TWO[first:last])
                await asyncio.sleep(0)
            await line.answer()
            await line.answer()
        return core

    core = asyncio.run(run())
    assert [(asked.target, asked.body) for asked in core.heard] == [("/a?b", b"abcdefgh"), ("/second", b"")]
    assert (b"x-y", b"z") in core.heard[0].headers


async def test_trailers_are_no_header_fields(core: Core) -> None:
    async with served(core) as line:
        await line.ask(_TWO[: -len(get(b"/second"))])
    assert b"x-trailer" not in dict(core.heard[0].headers)


async def test_a_client_that_waits_for_a_go_ahead_gets_it(core: Core) -> None:
    async with served(core) as line:
        await line.send(b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await line.head())[0] == 100
        assert (await line.ask(b"ok"))[0] == 200


async def test_other_protocols_are_not_spoken(core: Core) -> None:
    async with served(core) as line:
        upgrade = get(b"/a", b"Connection: Upgrade", b"Upgrade: websocket")
        status, fields, _ = await line.ask(upgrade + _SECRET)
        assert (status, fields["connection"]) == (200, "close")
        assert await line.rest() == b""
    assert [asked.target for asked in core.heard] == ["/a"]


# --- answers --------------------------------------------------------------------------------------


async def test_a_body_of_unknown_length_is_chunked(core: Core) -> None:
    async with served(core) as line:
        status, fields, body = await line.ask(get(b"/stream"))
        assert (status, fields["transfer-encoding"], body) == (200, "chunked", b"data: 1\n\ndata: 2\n\n")
        assert (await line.ask(get(b"/b")))[0] == 200


async def test_http_1_0_gets_a_body_that_ends_with_the_connection(core: Core) -> None:
    async with served(core) as line:
        _, fields, body = await line.ask(b"GET /stream HTTP/1.0\r\n\r\n")
    assert (fields["connection"], body) == ("close", b"data: 1\n\ndata: 2\n\n")
    assert "transfer-encoding" not in fields


async def test_head_has_the_length_and_no_body(core: Core) -> None:
    async with served(core) as line:
        await line.send(get(b"/a").replace(b"GET", b"HEAD") + get(b"/b"))
        _, fields = await line.head()
        assert int(fields["content-length"]) > 0
        assert json.loads((await line.answer())[2])["target"] == "/b"


async def test_a_client_that_wants_to_close_is_told_so(core: Core) -> None:
    async with served(core) as line:
        _, fields, _ = await line.ask(get(b"/a", b"Connection: close"))
        assert fields["connection"] == "close"
        assert await line.rest() == b""


async def test_a_bug_is_a_500_and_a_line_in_the_log(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    async with served(core) as line:
        status, _, body = await line.ask(get(b"/broken?key=secret"))
        assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
        assert (await line.ask(get(b"/b")))[0] == 200
    assert "GET /broken failed" in caplog.text
    assert "secret" not in caplog.text


async def test_a_bug_in_the_middle_cuts_the_answer(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    async with served(core) as line:
        await line.send(get(b"/halfbroken"))
        await line.head()
        assert not (await line.rest()).endswith(b"0\r\n\r\n")
    assert "a bug" in caplog.text


# --- what is refused ------------------------------------------------------------------------------

_DOUBTFUL = {
    "length_and_coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two_lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "a_list_of_lengths": b"Content-Length: 0, 0\r\n\r\n",
    "a_signed_length": b"Content-Length: +5\r\n\r\nabcde",
    "a_negative_length": b"Content-Length: -1\r\n\r\n",
    "a_length_in_hex": b"Content-Length: 0x5\r\n\r\nabcde",
    "an_endless_length": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "another_coding": b"Transfer-Encoding: gzip\r\n\r\n",
    "two_codings": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked_twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "an_odd_coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two_coding_fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked_in_two_fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space_before_colon": b"Content-Length : 5\r\n\r\nabcde",
    "a_folded_field": b"X-A: b\r\n Content-Length: 5\r\n\r\nabcde",
    "a_bare_line_feed": b"X-A: b\nContent-Length: 5\r\n\r\nabcde",
    "a_bare_return": b"X-A: b\rContent-Length: 5\r\n\r\nabcde",
    "a_nul": b"X-A: b\0c\r\n\r\n",
    "an_empty_name": b": b\r\n\r\n",
    "a_second_host": b"Host: other\r\n\r\n",
    "a_bad_chunk_size": b"Transfer-Encoding: chunked\r\n\r\n5g\r\nabcde\r\n0\r\n\r\n",
    "a_signed_chunk_size": b"Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n",
    "an_endless_chunk_size": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n",
    "a_chunk_that_runs_over": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("rest", _DOUBTFUL.values(), ids=_DOUBTFUL.keys())
async def test_what_could_be_read_in_two_ways_is_refused(core: Core, rest: bytes) -> None:
    async with served(core) as line:
        status, fields, body = await line.ask(b"POST /a HTTP/1.1\r\nHost: h\r\n" + rest + _SECRET)
        assert status in {400, 413}
        assert (fields["connection"], "error" in json.loads(body)) == ("close", True)
        line.writer.write_eof()
        assert await line.rest() == b""
    assert core.heard == []


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /a HTTP/1.1\r\n\r\n",
        b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"CONNECT other:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"FROB /a HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a\r\n\r\n",
    ],
    ids=[
        "no_host",
        "coding_in_1_0",
        "no_slash",
        "not_ascii",
        "fragment",
        "space",
        "connect",
        "tls",
        "h2",
        "method",
        "0.9",
    ],
)
async def test_what_is_no_http_1_1_is_refused(core: Core, raw: bytes) -> None:
    async with served(core) as line:
        assert (await line.ask(raw))[0] in {400, 505}
    assert core.heard == []


async def test_a_refusal_waits_for_the_answers_before_it(core: Core) -> None:
    async with served(core) as line:
        await line.send(get(b"/wait0.05") + b"nonsense\r\n\r\n")
        assert [(await line.answer())[0] for _ in range(2)] == [200, 400]


async def test_a_head_that_does_not_end_is_refused(core: Core) -> None:
    async with served(core) as line:
        await line.send(b"GET /a HTTP/1.1\r\nHost: h\r\n")
        for _ in range(70):
            line.writer.write(b"X-A: " + b"a" * 1024 + b"\r\n")
        assert (await line.answer())[0] == 431
    assert core.heard == []


@pytest.mark.parametrize("fields", [[b"X-A: " + b"a" * (65 << 10)], [b"X-A: a"] * 250], ids=["long", "many"])
async def test_a_head_that_is_too_large_is_refused(core: Core, fields: list[bytes]) -> None:
    async with served(core) as line:
        assert (await line.ask(get(b"/a", *fields)))[0] == 431
    assert core.heard == []


async def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(core: Core) -> None:
    async with served(core) as line:
        head = b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n"
        status, _, body = await line.ask(head)
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")


async def test_a_body_that_grows_too_large_is_refused(core: Core) -> None:
    async with served(core) as line:
        await line.send(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            line.writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert (await line.answer())[0] == 413
    assert core.heard == []


async def test_a_body_at_the_limit_is_taken(core: Core) -> None:
    async with served(core) as line:
        assert (await line.ask(post(b"x" * (1 << 20))))[0] == 200


# --- clients that are slow, or leave --------------------------------------------------------------

_NOW = Patience(idle=0.05, head=0.05, body=0.05, stalled=0.05, lingering=0.05)


@pytest.mark.parametrize("sent", [b"GET /a HT", post(b"0123456789")[:-5]], ids=["head", "body"])
async def test_a_request_that_does_not_come_to_its_end_is_a_408(sent: bytes) -> None:
    core = Core(patience=_NOW)
    async with served(core) as line:
        assert (await line.ask(sent))[0] == 408
        assert await line.rest() == b""
    assert core.heard == []


async def test_an_idle_connection_is_closed() -> None:
    async with served(Core(patience=_NOW)) as line:
        assert (await line.ask(get(b"/a")))[0] == 200
        assert await line.rest() == b""


async def test_a_refused_client_that_keeps_sending_is_cut() -> None:
    async with served(Core(patience=_NOW)) as line:
        await line.ask(b"nonsense\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await line.send(b"x" * 65536)
                await asyncio.sleep(0.005)
        assert line.writer.is_closing()


async def test_a_client_that_does_not_read_is_cut() -> None:
    core = Core(patience=_NOW)
    async with served(core) as line:
        await line.send(get(b"/flood"))
        await line.head()
        await eventually(lambda: core.cancelled == 1)
    assert core.left == 1


async def test_a_client_that_is_slow_slows_what_answers_it(core: Core) -> None:
    async with served(core) as line:
        await line.send(get(b"/flood"))
        await line.head()
        got = 0
        while got < 4 << 20:
            got += len(await line.reader.read(65536))
    assert got >= 4 << 20


@pytest.mark.parametrize("path", [b"/wait", b"/half", b"/flood"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_a_client_that_leaves_cancels_the_work_for_it(core: Core, path: bytes, how: str) -> None:
    async with served(core) as line:
        await line.send(get(path))
        await eventually(lambda: len(core.heard) == 1)
        if path != b"/wait":
            await line.head()
        if how == "close":
            line.writer.close()
        elif how == "reset":
            line.writer.transport.abort()
        else:
            line.writer.write_eof()
        if path == b"/flood" and how == "half":
            # Who does not read is not noticed to have stopped writing, but cut when it is closed.
            line.writer.close()
        await eventually(lambda: core.cancelled == 1)
        await eventually(lambda: core.left == 1)


async def test_requests_behind_the_one_that_was_left_are_not_begun(core: Core) -> None:
    async with served(core) as line:
        await line.send(get(b"/wait") + get(b"/b"))
        await eventually(lambda: len(core.heard) == 1)
        line.writer.transport.abort()
        await eventually(lambda: core.left == 1)
    assert [asked.target for asked in core.heard] == ["/wait"]


# --- stopping -------------------------------------------------------------------------------------


async def test_calls_under_way_are_finished_and_idle_connections_closed(core: Core) -> None:
    async with Server(core, grace_s=5) as server, line_to(server) as busy, line_to(server) as idle:
        await idle.ask(get(b"/a"))
        await busy.send(get(b"/wait0.1") + get(b"/b"))
        await eventually(lambda: len(core.heard) == 2)
        server.stop()
        assert await idle.rest() == b""
        status, fields, _ = await busy.answer()
        assert (status, fields["connection"]) == (200, "close")
        assert await busy.rest() == b""
    assert core.cancelled == 0


async def test_a_call_that_outlasts_the_grace_is_told_so(core: Core) -> None:
    async with Server(core, grace_s=0.05) as server, line_to(server) as line:
        await line.send(get(b"/wait"))
        await eventually(lambda: len(core.heard) == 1)
        server.stop()
        status, fields, body = await line.answer()
        assert (status, fields["retry-after"], json.loads(body)["error"]["code"]) == (503, "1", "stopping")
    assert (core.cancelled, core.left) == (1, 0)


async def test_a_second_stop_does_not_wait_for_the_grace(core: Core) -> None:
    async with Server(core, grace_s=60) as server, line_to(server) as line:
        await line.send(get(b"/half"))
        await line.head()
        server.stop()
        server.stop()
        assert not (await line.rest()).endswith(b"0\r\n\r\n")
    assert core.cancelled == 1


async def test_who_writes_to_a_client_that_is_gone_is_cancelled_and_not_failed(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(core) as line:
        await line.send(get(b"/drip"))
        await line.head()
        line.writer.transport.abort()
        await eventually(lambda: core.left == 1)
    assert (core.cancelled, caplog.text) == (1, "")
