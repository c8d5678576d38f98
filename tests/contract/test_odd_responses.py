"""Two HTTP clients written apart from one another read the same odd responses: each difference is named."""

from __future__ import annotations

import contextlib
import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import UpstreamError
from offramp.testing.raw_server import RawServer, Talk
from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts

if TYPE_CHECKING:
    from offramp.upstream.port import Upstream


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a client made of a response.

    Attributes:
        status: HTTP status, 0 where an error came before it.
        headers: End-to-end fields.
        body: What came of the body.
        error: Class of the error at the end, "" for none.
    """

    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    error: str = ""


_PACKED = gzip.compress(b'{"a": 1}', mtime=0)
_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"transfer-encoding: chunked\r\n\r\n"

_ODD: dict[str, bytes] = {
    # Lengths
    "whole": _HEAD + b"content-length: 2\r\n\r\nok",
    "empty": _HEAD + b"content-length: 0\r\n\r\n",
    "until close": _HEAD + b"\r\nall of it",
    "until close, empty": _HEAD + b"\r\n",
    "shorter than promised": _HEAD + b"content-length: 10\r\n\r\nhalf",
    "longer than promised": _HEAD + b"content-length: 2\r\n\r\nok and more",
    "no byte of the body": _HEAD + b"content-length: 10\r\n\r\n",
    "spaces around a length": _HEAD + b"content-length: \t 2 \t\r\n\r\nok",
    "two equal lengths": _HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "two lengths": _HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok.",
    "length and chunked": _HEAD
    + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "negative length": _HEAD + b"content-length: -2\r\n\r\nok",
    "signed length": _HEAD + b"content-length: +2\r\n\r\nok",
    "length that is no number": _HEAD + b"content-length: two\r\n\r\nok",
    "length beyond 64 bits": _HEAD + b"content-length: 99999999999999999999999\r\n\r\nok",
    # Chunks
    "chunked": _CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
    "chunked, empty": _CHUNKED + b"0\r\n\r\n",
    "chunked with an extension": _CHUNKED + b"2;a=b\r\nok\r\n0\r\n\r\n",
    "chunked with trailers": _CHUNKED + b"2\r\nok\r\n0\r\nx-t: 1\r\n\r\n",
    "chunked in upper case hex": _CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
    "Chunked in capitals": _HEAD + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked without an end": _CHUNKED + b"2\r\nok\r\n",
    "chunked that ends inside a chunk": _CHUNKED + b"9\r\nok",
    "chunked that is not": _CHUNKED + b"{}",
    "chunked with bare line feeds": _CHUNKED + b"2\nok\n0\n\n",
    "chunk longer than it says": _CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
    "compressed, then chunked": _HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "identity": _HEAD + b"transfer-encoding: identity\r\n\r\nok",
    # Fields
    "compressed body": _HEAD
    + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(_PACKED)
    + _PACKED,
    "said to be compressed": _HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
    "unknown compression": _HEAD + b"content-encoding: zstd, x\r\ncontent-length: 2\r\n\r\nok",
    "field twice": _HEAD + b"set-cookie: a\r\nSet-Cookie: b\r\ncontent-length: 0\r\n\r\n",
    "field without a value": _HEAD + b"x-a:\r\ncontent-length: 0\r\n\r\n",
    "spaces around a value": _HEAD + b"x-a: \t a b \t \r\ncontent-length: 0\r\n\r\n",
    "latin-1 and utf-8": _HEAD + b"x-a: \xe9\r\nx-b: \xc3\xa9\r\ncontent-length: 0\r\n\r\n",
    "folded field": _HEAD + b"x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n",
    "space before the colon": _HEAD + b"x-a : 1\r\ncontent-length: 0\r\n\r\n",
    "field without a colon": _HEAD + b"x-a\r\ncontent-length: 0\r\n\r\n",
    "name that is no token": _HEAD + b"x(a): 1\r\ncontent-length: 0\r\n\r\n",
    "NUL in a value": _HEAD + b"x-a: a\0b\r\ncontent-length: 0\r\n\r\n",
    "carriage return in a value": _HEAD + b"x-a: a\rb\r\ncontent-length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "hop-by-hop": _HEAD
    + b"connection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\ncontent-length: 0\r\n\r\n",
    "a hundred fields": _HEAD
    + b"".join(b"x-%d: 1\r\n" % n for n in range(100))
    + b"content-length: 0\r\n\r\n",
    "two hundred fields": _HEAD
    + b"".join(b"x-%d: 1\r\n" % n for n in range(200))
    + b"content-length: 0\r\n\r\n",
    "long field": _HEAD + b"x-a: " + b"x" * 60_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "too long field": _HEAD + b"x-a: " + b"x" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
    # Status lines
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "empty reason": b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    "latin-1 reason": b"HTTP/1.1 200 \xe9\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/3.7": b"HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "status 299": b"HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n",
    "status 0": b"HTTP/1.1 000 Odd\r\ncontent-length: 2\r\n\r\nok",
    "status 99": b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nok",
    "status 999": b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 Odd\r\ncontent-length: 0\r\n\r\n",
    "status 20": b"HTTP/1.1 20 Odd\r\ncontent-length: 0\r\n\r\n",
    "status that is no number": b"HTTP/1.1 abc Odd\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
    "204 with a body": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "205": b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
    "100, then 200": b"HTTP/1.1 100 Continue\r\n\r\n" + _HEAD + b"content-length: 2\r\n\r\nok",
    "103 twice, then 200": b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" * 2
    + _HEAD
    + b"content-length: 2\r\n\r\nok",
    "100, then nothing": b"HTTP/1.1 100 Continue\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "redirect": b"HTTP/1.1 307 Temporary\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\nno",
    "asks for a password": b"HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ncontent-length: 2\r\n\r\nno",
    # No HTTP
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half a head": _HEAD + b"content-le",
    "empty lines first": b"\r\n\r\n" + _HEAD + b"content-length: 2\r\n\r\nok",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "HTML": b"<html>502</html>\r\n\r\n",
    "zeros": bytes(100),
}

_BROKEN = _Seen(error="UpstreamError")

# Name: what the pool sees, what aiohttp sees, and why that is so.
_DIFFERENT: dict[str, tuple[_Seen, _Seen, str]] = {
    "longer than promised": (
        _Seen(200, ((b"content-length", b"2"),), b"ok"),
        _BROKEN,
        "what was promised is here; aiohttp drops it where the surplus comes in the same segment",
    ),
    "204 with a body": (
        _Seen(204, ((b"content-length", b"5"),)),
        _BROKEN,
        "as above",
    ),
    "chunked that is not": (
        _Seen(200, error="UpstreamError"),
        _BROKEN,
        "what arrived before the break is handed on; aiohttp drops what came in the same segment",
    ),
    "chunked with bare line feeds": (_Seen(200, error="UpstreamError"), _BROKEN, "as above"),
    "chunk longer than it says": (_Seen(200, (), b"ok", "UpstreamError"), _BROKEN, "as above"),
    "compressed, then chunked": (
        _BROKEN,
        _Seen(200, (), b"ok"),
        "the field that says how the body is coded is hop-by-hop: without it, nobody could read the body",
    ),
    "spaces around a value": (
        _Seen(200, ((b"content-length", b"0"), (b"x-a", b"a b \t "))),
        _Seen(200, ((b"content-length", b"0"), (b"x-a", b"a b"))),
        "spaces behind a value mean nothing (RFC 9110, 5.5) and stay",
    ),
    "folded field": (
        _BROKEN,
        _Seen(200, ((b"content-length", b"0"), (b"x-a", b"1 2"))),
        "leniency of aiohttp's towards servers; forbidden since RFC 7230",
    ),
    "bare line feeds": (
        _BROKEN,
        _Seen(200, ((b"content-length", b"2"),), b"ok"),
        "leniency of aiohttp's towards servers; a way to smuggle responses",
    ),
    "two hundred fields": (
        _Seen(200, tuple(sorted([*((b"x-%d" % n, b"1") for n in range(200)), (b"content-length", b"0")]))),
        _BROKEN,
        "the pool limits the head's bytes, aiohttp the number of fields too",
    ),
}


async def _seen(upstream: Upstream, method: str) -> _Seen:
    status, body = 0, b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    try:
        response = await upstream.send(method, "/x", [], b"")
        status, headers = response.status, tuple(sorted(response.headers))
        try:
            async for piece in response:
                body += piece
        finally:
            await response.aclose()
    except UpstreamError as error:
        return _Seen(status, headers, body, type(error).__name__)
    return _Seen(status, headers, body)


async def _both(wire: bytes, method: str = "POST") -> tuple[_Seen, _Seen]:
    async def script(talk: Talk) -> None:
        await talk.hear()
        await talk.say(wire)

    seen = []
    async with RawServer(script) as server:
        for make in (PooledUpstream, OpenAIUpstream):
            upstream = make(server.url, timeouts=Timeouts(silence=30))
            async with contextlib.aclosing(upstream):
                seen.append(await _seen(upstream, method))
    return seen[0], seen[1]


@pytest.mark.parametrize("name", sorted(_ODD))
async def test_both_clients_read_the_same(name: str) -> None:
    pool, aiohttp = await _both(_ODD[name])
    if name in _DIFFERENT:
        assert (pool, aiohttp) == _DIFFERENT[name][:2], _DIFFERENT[name][2]
    else:
        assert pool == aiohttp


@pytest.mark.parametrize("name", ["whole", "chunked", "until close", "304 with a length", "nothing"])
async def test_both_clients_read_the_same_head(name: str) -> None:
    head, found, _ = _ODD[name].partition(b"\r\n\r\n")
    pool, aiohttp = await _both(head + found, "HEAD")
    assert pool == aiohttp
