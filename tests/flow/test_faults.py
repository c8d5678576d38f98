"""What the client of the real gateway sees of a teacher that is slow, dead, broken, or says nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.gateway import Gateway
from offramp.testing.certificates import self_signed
from offramp.testing.raw_server import RawServer, Talk, answering_once
from offramp.upstream.errors import PARSING
from offramp.upstream.opening import open_upstream
from offramp.upstream.port import Timeouts
from offramp.upstream.reader import ResponseReader
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from offramp.testing.raw_server import Script

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_HUGE = 32 << 20
_PROMPTLY_S = 10


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a client saw.

    Attributes:
        status: HTTP status, 0 where none came.
        body: The bytes of the body.
        whole: Whether the response was whole; else the connection was cut.
    """

    status: int
    body: bytes
    whole: bool


class _Client:
    """A client that looks at every byte.

    Args:
        port: Where to connect.
        method: HTTP method.
        path: Path asked for.
    """

    def __init__(self, port: int, method: str = "POST", path: str = "/v1/files") -> None:
        self.body = b""
        self._path = path
        self._port = port
        self._method = method
        self._reading = ResponseReader()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def ask(self, body: bytes = b"{}", *, of: int | None = None) -> None:
        """Send a request, or less of its body than it announces."""
        self.body = b""
        self._reading.expect(bodiless=self._method == "HEAD")
        head = f"{self._method} {self._path} HTTP/1.1\r\nhost: x\r\ncontent-length: {of or len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)

    async def see(self, enough: Callable[[], bool] = lambda: False) -> _Seen:
        """Read until the response is whole, the connection is cut, or it is enough."""
        reading = self._reading
        pieces = [self.body]
        async with asyncio.timeout(60):
            with contextlib.suppress(OSError, *PARSING):
                while not reading.finished and not enough():
                    data = await self._reader.read(1 << 18)
                    if not data:
                        break
                    try:
                        reading.feed(data)
                    finally:
                        pieces.append(reading.take())
                        if len(pieces[-1]) < 1 << 10:
                            self.body = b"".join(pieces)
                            pieces = [self.body]
        self.body = b"".join(pieces)
        ended = reading.finished or (reading.until_close and self._reader.at_eof())
        return _Seen(reading.status, self.body, ended)


@contextlib.asynccontextmanager
async def _gateway(url: str, *, silence: float = 30, connect: float = 30) -> AsyncIterator[int]:
    upstream = open_upstream(url, timeouts=Timeouts(connect=connect, silence=silence))
    async with contextlib.aclosing(upstream), Server(Gateway(upstream), grace_s=1) as server:
        yield server.address.port


async def _ask(port: int, body: bytes = b"{}") -> _Seen:
    async with _Client(port) as client:
        client.ask(body)
        return await client.see()


async def _directly_and_through(script: Script) -> tuple[_Seen, _Seen]:
    async with RawServer(script) as server, _gateway(server.url) as port:
        return await _ask(server.port), await _ask(port)


async def _told(script: Script, *, silence: float = 30) -> tuple[int, str]:
    """Return the gateway's own error for a teacher: status and message."""
    async with RawServer(script) as server, _gateway(server.url, silence=silence) as port:
        return _problem(await _ask(port), server.url)


def _problem(seen: _Seen, url: str) -> tuple[int, str]:
    error = orjson.loads(seen.body)["error"]
    assert seen.whole
    assert error["type"] == "api_error"
    assert url in error["message"], "it names the teacher"
    return seen.status, error["message"]


# The client sees what it would have seen


async def _slow(talk: Talk) -> None:
    await talk.hear()
    for byte in (_OK[:5], _OK[5:30], _OK[30:-1], _OK[-1:]):
        await asyncio.sleep(0.02)
        await talk.say(byte)


@pytest.mark.parametrize(
    "script",
    [
        _slow,
        answering_once(_HEAD + b"content-length: 10\r\n\r\nhalf"),
        answering_once(_HEAD + b"content-length: 2\r\n\r\nok and more"),
        answering_once(_CHUNKED + b"7\r\ndata: 1\r\n"),
        answering_once(_CHUNKED + b"7\r\ndata: 1\r\n9\r\ndat"),
        answering_once(_CHUNKED + b"7\r\ndata: 1\r\nthis is no chunk"),
        answering_once(_CHUNKED + b"7\r\ndata: 1\r\n0\r\nx-trailer: 1\r\n\r\n"),
        answering_once(_CHUNKED + b"0\r\n\r\n"),
        answering_once(_HEAD + b"\r\nuntil the end"),
        answering_once(_HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nok"),
        answering_once(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + _OK),
        answering_once(b"HTTP/1.1 429 Slow Down\r\ncontent-length: 2\r\nretry-after: 7\r\n\r\nno"),
        answering_once(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
        answering_once(b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
    ids=[
        "slow",
        "shorter than promised",
        "longer than promised",
        "half a stream",
        "inside a chunk",
        "garbage in a stream",
        "trailers",
        "empty stream",
        "until close",
        "close",
        "early hints",
        "too many requests",
        "empty error",
        "no content",
    ],
)
async def test_the_client_sees_what_it_would_have_seen(script: Script) -> None:
    directly, through = await _directly_and_through(script)
    assert directly.status
    assert through == directly


async def test_bytes_before_a_reset_reach_the_client_and_then_the_cut() -> None:
    seen = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(_HEAD + b"content-length: 10\r\n\r\nhalf")
        await seen.wait()
        talk.reset()

    async with RawServer(script) as server, _gateway(server.url) as port, _Client(port) as client:
        client.ask()
        assert (await client.see(lambda: client.body == b"half")).body == b"half"
        seen.set()
        assert await client.see() == _Seen(200, b"half", whole=False)


async def test_32_megabytes_come_down_whole() -> None:
    block = bytes(range(256)) * 4096

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(_HEAD + b"content-length: %d\r\n\r\n" % _HUGE)
        for _ in range(_HUGE // len(block)):
            await talk.say(block)

    directly, through = await _directly_and_through(script)
    assert len(through.body) == _HUGE
    assert through == directly


async def test_32_megabytes_go_up_whole() -> None:
    body = bytes(range(256)) * (_HUGE >> 8)

    async def script(talk: Talk) -> None:
        heard = await talk.hear()
        await talk.say(
            _HEAD + b"content-length: 64\r\n\r\n" + hashlib.sha256(heard.body).hexdigest().encode()
        )

    async with RawServer(script) as server, _gateway(server.url) as port:
        assert (await _ask(port, body)).body == hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize("length", [b"content-length: 1234\r\n", b"transfer-encoding: chunked\r\n", b""])
async def test_the_answer_to_head_has_the_same_status_and_no_body(length: bytes) -> None:
    script = answering_once(_HEAD + length + b"\r\n")
    async with RawServer(script) as server, _gateway(server.url) as port, _Client(port, "HEAD") as client:
        client.ask(b"")
        assert await client.see() == _Seen(200, b"", whole=True)


async def test_an_answer_that_comes_before_the_request_was_read_reaches_the_client() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear_head()
        await talk.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await talk.gone()

    async with RawServer(script) as server, _gateway(server.url) as port:
        assert await _ask(port, bytes(_HUGE)) == _Seen(413, b"no", whole=True)


# A clear error of the gateway's


async def test_a_dead_teacher_is_a_502_that_says_so() -> None:
    async with RawServer(answering_once()) as server:
        url = server.url
    async with _gateway(url) as port:
        status, message = _problem(await _ask(port), url)
    assert status == 502
    assert "cannot be reached" in message


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        (b"", "closed the connection before it answered"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "closed the connection in the middle of the response's head"),
        (_HEAD + b"content-length: 10\r\n\r\n", "closed the connection in the middle of the response's body"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what it sent is no HTTP"),
        (b"<html>not quite</html>\r\n\r\n", "what it sent is no HTTP"),
        (_HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok.", "what it sent is no HTTP"),
        (_HEAD + b"x-long: " + b"x" * 100_000 + b"\r\n\r\n", "longer than 65536 bytes"),
        (b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "another protocol"),
    ],
    ids=["nothing", "half a head", "no body", "ssh", "html", "two lengths", "long head", "upgrade"],
)
async def test_a_teacher_that_gave_no_answer_is_a_502_that_names_the_cause(says: bytes, cause: str) -> None:
    status, message = await _told(answering_once(says))
    assert status == 502
    assert cause in message


async def test_a_reset_before_the_answer_is_a_502() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        talk.reset()

    status, message = await _told(script)
    assert status == 502
    assert "reset" in message.lower()


async def test_a_teacher_that_says_nothing_is_a_504() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.gone()

    status, message = await _told(script, silence=0.1)
    assert status == 504
    assert "silent for 0.1 s" in message


async def test_a_teacher_that_falls_silent_in_a_stream_is_a_cut() -> None:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(_CHUNKED + b"7\r\ndata: 1\r\n")
        await talk.gone()

    async with RawServer(script) as server, _gateway(server.url, silence=0.1) as port:
        assert await _ask(port) == _Seen(200, b"data: 1", whole=False)


async def test_a_certificate_that_nobody_vouches_for_is_a_502_that_says_so() -> None:
    ends = self_signed("127.0.0.1")
    async with RawServer(answering_once(_OK), tls=ends.server) as server, _gateway(server.url) as port:
        status, message = _problem(await _ask(port), server.url)
    assert status == 502
    assert "certificate verify failed" in message
    assert "SSL_CERT_FILE" in message


async def test_a_connection_that_never_stands_is_a_502() -> None:
    async def script(talk: Talk) -> None:
        await talk.gone()

    async with RawServer(script) as server:
        url = server.url.replace("http:", "https:")
        async with _gateway(url, connect=0.1) as port:
            status, message = _problem(await _ask(port), url)
    assert status == 502
    assert "no connection within 0.1 s" in message


@pytest.mark.parametrize("path", ["/v1/../admin", "/v1/files/%2e%2e%2f../admin", "/v1/%2E%2E"])
async def test_a_path_that_leads_out_of_the_api_goes_nowhere(path: str) -> None:
    async with (
        RawServer(answering_once(_OK)) as server,
        _gateway(server.url) as port,
        _Client(port, path=path) as client,
    ):
        client.ask()
        assert (await client.see()).status == 400
    assert server.connections == 0


async def test_after_any_fault_the_next_call_is_answered() -> None:
    faults = [b"", b"HTTP/1.1 2", _HEAD + b"content-length: 9\r\n\r\nx", b"\0", _CHUNKED + b"zz"]

    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(faults[talk.number // 2] if talk.number % 2 == 0 else _OK)

    async with RawServer(script) as server, _gateway(server.url) as port:
        for _ in faults:
            await _ask(port)
            assert await _ask(port) == _Seen(200, b"ok", whole=True)


async def test_a_call_is_executed_once_whatever_becomes_of_its_connection() -> None:
    executed: list[bytes] = []

    async def script(talk: Talk) -> None:
        while True:
            executed.append((await talk.hear()).body)
            if len(executed) % 3 == 0:
                return
            if len(executed) % 3 == 1:
                await talk.say(_OK)
            else:
                await talk.say(b"HTTP/1.1 200 OK\r\ncontent-le")
                talk.reset()
                return

    async with RawServer(script) as server, _gateway(server.url) as port:
        for number in range(30):
            await _ask(port, b"%d" % number)
    assert executed == [b"%d" % number for number in range(30)]


# The client leaves


async def _gone_promptly(
    script: Callable[[Talk, asyncio.Event], Awaitable[None]], body: bytes = b"{}"
) -> None:
    """Leave once the script sets its event; the script has to see the end of its connection in time."""
    ready, left = asyncio.Event(), asyncio.Event()

    async def run(talk: Talk) -> None:
        await script(talk, ready)
        await talk.gone()
        left.set()

    async with RawServer(run) as server, _gateway(server.url) as port, _Client(port) as client:
        client.ask(body)
        await ready.wait()
        await client.leave()
        async with asyncio.timeout(_PROMPTLY_S):
            await left.wait()


async def test_leaving_before_the_head_closes_the_way_to_the_teacher() -> None:
    async def script(talk: Talk, ready: asyncio.Event) -> None:
        await talk.hear()
        ready.set()

    await _gone_promptly(script)


async def test_leaving_inside_the_head_closes_the_way_to_the_teacher() -> None:
    async def script(talk: Talk, ready: asyncio.Event) -> None:
        await talk.hear()
        await talk.say(b"HTTP/1.1 20")
        ready.set()

    await _gone_promptly(script)


async def test_leaving_between_head_and_body_closes_the_way_to_the_teacher() -> None:
    async def script(talk: Talk, ready: asyncio.Event) -> None:
        await talk.hear()
        await talk.say(_CHUNKED)
        ready.set()

    await _gone_promptly(script)


async def test_leaving_in_a_stream_closes_the_way_to_the_teacher() -> None:
    async def script(talk: Talk, ready: asyncio.Event) -> None:
        await talk.hear()
        await talk.say(_CHUNKED + b"7\r\ndata: 1\r\n")
        await asyncio.sleep(0.02)
        ready.set()

    await _gone_promptly(script)


async def test_leaving_while_the_request_is_taken_closes_the_way_to_the_teacher() -> None:
    async def script(talk: Talk, ready: asyncio.Event) -> None:
        await talk.hear_head()
        ready.set()

    await _gone_promptly(script, bytes(_HUGE))


async def test_leaving_while_megabytes_come_closes_the_way_to_the_teacher() -> None:
    async def script(talk: Talk, ready: asyncio.Event) -> None:
        await talk.hear()
        await talk.say(_HEAD + b"content-length: %d\r\n\r\n" % _HUGE)
        ready.set()
        with contextlib.suppress(OSError):
            await talk.say(bytes(_HUGE))

    await _gone_promptly(script)


async def test_leaving_while_the_connection_is_made_gives_it_up() -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def script(talk: Talk) -> None:
        reached.set()
        await talk.gone()
        left.set()

    async with RawServer(script) as server, _gateway(server.url.replace("http:", "https:")) as port:
        async with _Client(port) as client:
            client.ask()
            await reached.wait()
        async with asyncio.timeout(_PROMPTLY_S):
            await left.wait()


async def test_leaving_before_the_request_is_whole_does_not_reach_the_teacher() -> None:
    async with RawServer(answering_once(_OK)) as server, _gateway(server.url) as port:
        async with _Client(port) as client:
            client.ask(b"half", of=100)
            await asyncio.sleep(0.02)
        assert await _ask(port) == _Seen(200, b"ok", whole=True)
    assert server.connections == 1


# Streams, cut everywhere

_ENDS = st.sampled_from(["\n", "\r\n"])
_TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6)


@st.composite
def _events(draw: st.DrawFn) -> bytes:
    end = draw(_ENDS)
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            lines.append(f": {draw(_TEXTS)}")
        if draw(st.booleans()):
            lines.append(f"event: {draw(_TEXTS)}")
        lines.extend(f"data: {text}" for text in draw(st.lists(_TEXTS, min_size=1, max_size=3)))
        lines.append("")
    return (end.join([*lines, "data: [DONE]", ""]) + end).encode()


class _Dictated:
    """A teacher that streams what it is told, part by part, each only when it is told."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, talk: Talk) -> None:
        while True:
            await talk.hear()
            await talk.say(_CHUNKED)
            while part := await self.parts.get():
                await talk.say(b"%x\r\n%b\r\n" % (len(part), part))
            await talk.say(b"0\r\n\r\n")


@settings(max_examples=25)
@given(stream=_events())
async def test_each_part_of_a_stream_is_seen_before_the_next_is_sent_wherever_it_is_cut(
    stream: bytes,
) -> None:
    teacher = _Dictated()
    cuts = [[stream[:cut], stream[cut:]] for cut in range(1, len(stream))]
    every_byte = [stream[at : at + 1] for at in range(len(stream))]
    async with RawServer(teacher) as server, _gateway(server.url) as port, _Client(port) as client:
        for parts in [*cuts, every_byte]:
            client.ask()
            sent = b""
            for part in parts:
                teacher.parts.put_nowait(part)
                sent += part
                await client.see(lambda sent=sent: len(client.body) == len(sent))  # type: ignore[misc] # bound now
                assert client.body == sent
            teacher.parts.put_nowait(b"")
            assert await client.see() == _Seen(200, stream, whole=True)


@settings(max_examples=12)
@given(stream=_events())
async def test_a_response_cut_anywhere_on_the_wire_arrives_byte_for_byte(stream: bytes) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in stream.splitlines(keepends=True))
    wire = _CHUNKED + chunks + b"0\r\n\r\n"
    cuts = iter(range(1, len(wire)))

    async def script(talk: Talk) -> None:
        while True:
            await talk.hear()
            cut = next(cuts)
            await talk.say(wire[:cut])
            for _ in range(3):
                await asyncio.sleep(0)
            await talk.say(wire[cut:])

    async with RawServer(script) as server, _gateway(server.url) as port, _Client(port) as client:
        for _ in range(1, len(wire)):
            client.ask()
            assert await client.see() == _Seen(200, stream, whole=True)
