"""Whatever bytes a client sends: an answer or an end, soon, and never a request that nobody made."""

from __future__ import annotations

import asyncio

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flow.odd_http import Seen, odd_world, statuses

_LINES = st.sampled_from(
    [
        b"POST /v1/chat/completions HTTP/1.1\r\n",
        b"GET /v1/models HTTP/1.1\r\n",
        b"GET /health HTTP/1.1\r\n",
        b"POST http://h/v1/x?y#z HTTP/1.1\r\n",
        b"GET /v1/../x HTTP/1.1\r\n",
        b"POST /v1/%63hat/completions HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT h:1 HTTP/1.1\r\n",
        b"get / HTTP/9.9\r\n",
        b"GET /v1/m\r\n",
    ]
)
_FIELDS = st.sampled_from(
    [
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"content-length: 5 , 5\r\n",
        b"Content-Length: 50\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X-A: b\r\n Content-Length: 5\r\n",
        b"X-A: b\nContent-Length: 5\r\n",
        b"X-A: b\rTransfer-Encoding: chunked\r\n",
        b"Host: other\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: host, content-length\r\n",
        b"X-\xe9: \xff\r\n",
        b"X-A: \0\r\n",
    ]
)
_BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"5\r\nhello\r\n0\r\n\r\n",
        b'5;x="\r\n"\r\nhello\r\n0\r\nX: y\r\n\r\n',
        b"5\nhello\n0\n\n",
        b"0\r\n\r\n",
        b"-1\r\nhello\r\n",
        b"fffffffffffffffff\r\n",
        b"GET /v1/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
)
_REQUEST = st.builds(
    lambda line, host, fields, body: b"".join([line, host, *fields, b"\r\n", body]),
    _LINES,
    st.sampled_from([b"Host: h\r\n", b"Host: h\r\n", b"Host: h\r\n", b""]),
    st.lists(_FIELDS, max_size=3),
    _BODIES,
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Draw some requests in a row, and change a few bytes of them."""
    raw = bytearray(b"".join(draw(st.lists(_REQUEST, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\0", b" ", b"\r\n", b"7"])
        )
    return bytes(raw)


_BYTES = st.one_of(_damaged(), _damaged(), _damaged(), st.binary(max_size=200))
_SENT = st.lists(st.tuples(_BYTES, st.lists(st.integers(0, 5000), max_size=3)), min_size=20, max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=_SENT)
def test_any_bytes_get_an_answer_or_an_end_and_make_no_request_of_their_own(
    sent: list[tuple[bytes, list[int]]],
) -> None:
    async def run() -> None:
        async with odd_world() as world:
            async with asyncio.timeout(20):
                answers = await asyncio.gather(*(world.tell_raw(raw, cuts) for raw, cuts in sent))
            assert world.faults == []
            assert world.invented() == []
            for answer in answers:
                assert 500 not in statuses(answer)

    asyncio.run(run())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies=st.lists(st.binary(max_size=300), min_size=1, max_size=8), chunked=st.booleans())
def test_a_body_that_looks_like_requests_stays_a_body(bodies: list[bytes], chunked: bool) -> None:
    async def run() -> list[Seen]:
        async with odd_world() as world:
            inner = [body + b"\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: h\r\n\r\n" for body in bodies]
            await world.tell_raw(b"".join(_posted(body, chunked=chunked) for body in inner) + b"\x00", [])
            assert world.heard == [("POST", "/v1/x", body) for body in inner]
            return world.heard

    assert len(asyncio.run(run())) == len(bodies)


def _posted(body: bytes, *, chunked: bool) -> bytes:
    head = b"POST /v1/x HTTP/1.1\r\nHost: h\r\n"
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


_H = b"Host: h\r\n"
_GET = b"GET /v1/m HTTP/1.1\r\n" + _H
_POST = b"POST /v1/m HTTP/1.1\r\n" + _H
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_CORPUS = {
    "plain": _GET + b"\r\n",
    "line_feeds_only": b"GET /v1/m HTTP/1.1\nHost: h\n\n",
    "an_empty_line_first": b"\r\n" + _GET + b"\r\n",
    "http_1_0": b"GET /v1/m HTTP/1.0\r\n\r\n",
    "http_1_2": b"GET /v1/m HTTP/1.2\r\n" + _H + b"\r\n",
    "small_method": b"get /v1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "absolute": b"GET http://x/v1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "authority": b"CONNECT x:443 HTTP/1.1\r\n" + _H + b"\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\n" + _H + b"\r\n",
    "no_slash": b"GET v1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "encoded": b"GET /v1/%63hat HTTP/1.1\r\n" + _H + b"\r\n",
    "encoded_base": b"GET /%76%31/m HTTP/1.1\r\n" + _H + b"\r\n",
    "two_slashes": b"GET //v1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "large_base": b"GET /V1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "dots": b"GET /v1/../offramp/keys HTTP/1.1\r\n" + _H + b"\r\n",
    "encoded_dots": b"GET /v1/%2e%2E/offramp HTTP/1.1\r\n" + _H + b"\r\n",
    "encoded_slash": b"GET /v1/..%2fofframp HTTP/1.1\r\n" + _H + b"\r\n",
    "backslash": b"GET /v1/..\\offramp HTTP/1.1\r\n" + _H + b"\r\n",
    "dots_with_parameters": b"GET /v1/..;/offramp HTTP/1.1\r\n" + _H + b"\r\n",
    "dots_into_the_base": b"GET /offramp/../v1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "not_ascii": b"GET /v1/\xc3\xa9 HTTP/1.1\r\n" + _H + b"\r\n",
    "tab_in_target": b"GET /v1/a\tb HTTP/1.1\r\n" + _H + b"\r\n",
    "control_in_value": _GET + b"X-A: \x01\r\n\r\n",
    "folded": _GET + b"X-A: b\r\n c\r\n\r\n",
    "folded_first": b"GET /v1/m HTTP/1.1\r\n X-A: b\r\n" + _H + b"\r\n",
    "length_and_coding": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "same_length_twice": _POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "signed_length": _POST + b"Content-Length: +1\r\n\r\na",
    "empty_length": _POST + b"Content-Length: \r\n\r\n",
    "zeros_before_length": _POST + b"Content-Length: 0001\r\n\r\na",
    "identity": _POST + b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
    "odd_blank_in_coding": _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "extension": _CHUNKED + b"1;a=b\r\na\r\n0\r\n\r\n",
    "line_feed_in_extension": _CHUNKED + b"1;a\n\r\na\r\n0\r\n\r\n",
    "blank_behind_size": _CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "size_with_0x": _CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "chunk_lines_of_line_feeds": _CHUNKED + b"1\na\n0\n\n",
    "length_in_trailer": _CHUNKED + b"0\r\nContent-Length: 9\r\n\r\n",
    "get_with_a_body": _GET + b"Content-Length: 1\r\n\r\na",
    "upgrade": _GET + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "preface_of_http_2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "large": _POST + b"Content-Length: 65537\r\n\r\n" + b"a" * 65537,
    "no_host": b"GET /v1/m HTTP/1.1\r\n\r\n",
    "two_hosts": _GET + _H + b"\r\n",
    "http_2_0": b"GET /v1/m HTTP/2.0\r\n" + _H + b"\r\n",
    "fragment": b"GET /v1/m#x HTTP/1.1\r\n" + _H + b"\r\n",
    "other_scheme": b"GET ftp://x/v1/m HTTP/1.1\r\n" + _H + b"\r\n",
    "two_codings": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding_in_http_1_0": b"POST /v1/m HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "many_fields": _GET + b"X: y\r\n" * 201 + b"\r\n",
}
# What uvicorn lets in and the gateway's own front does not.
_STRICTER = {
    "no_host": 400,
    "two_hosts": 400,
    "http_2_0": 505,
    "fragment": 400,
    "other_scheme": 400,
    "two_codings": 400,
    "coding_in_http_1_0": 400,
    "many_fields": 431,
}


async def test_both_ways_in_take_and_refuse_the_same_but_for_what_is_named() -> None:
    async with odd_world() as own, odd_world(asgi=True) as uvicorn:
        for name, raw in _CORPUS.items():
            ours, theirs = await own.first_status(raw), await uvicorn.first_status(raw)
            assert (name, ours) == (name, _STRICTER.get(name, theirs))
            assert (name, theirs) != (name, _STRICTER.get(name))
        assert own.faults == uvicorn.faults == []
        assert len(uvicorn.heard) - len(own.heard) == len(_STRICTER)


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\n\r\n", b""], ids=["answer", "nothing"])
def test_the_reader_of_answers_reads(raw: bytes) -> None:
    assert statuses(raw) == ([200] if raw else [])


def test_the_reader_of_answers_refuses_what_is_none() -> None:
    with pytest.raises(httptools.HttpParserError):
        statuses(b"nonsense\r\n\r\n")
