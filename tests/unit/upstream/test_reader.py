from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.upstream.errors import PARSING, Violation
from offramp.upstream.reader import LONGEST_HEAD, ResponseReader

_WHOLE = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
_CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nx-t: 1\r\n\r\n"
)


def _read(*pieces: bytes, bodiless: bool = False) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader()
    reader.expect(bodiless=bodiless)
    body = b""
    for piece in pieces:
        reader.feed(piece)
        body += reader.take()
    return reader, body


@given(st.sampled_from([_WHOLE, _CHUNKED]), st.data())
def test_a_response_reads_the_same_wherever_it_is_cut(wire: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1))))
    ends = [*cuts, len(wire)]
    reader, body = _read(*(wire[start:end] for start, end in zip([0, *cuts], ends, strict=True)))
    assert (reader.status, body) == (200, b"hello")
    assert (reader.finished, reader.reusable, reader.until_close) == (True, True, False)
    assert (b"x-a", b"1") in reader.headers


def test_the_chunks_that_arrive_together_are_one_piece() -> None:
    reader = ResponseReader()
    reader.feed(_CHUNKED)
    assert reader.take() == b"hello"
    assert reader.take() == b""


def test_names_are_lowered_and_fields_of_the_connection_dropped() -> None:
    reader, _ = _read(
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: X-Hop\r\nx-hop: 1\r\ncontent-length: 0\r\n\r\n"
    )
    assert reader.headers == [(b"x-a", b"1"), (b"content-length", b"0")]


def test_heads_before_the_answer_leave_nothing_behind() -> None:
    reader, _ = _read(b"HTTP/1.1 100 Continue\r\nx-early: 1\r\n\r\n" * 3 + _WHOLE)
    assert reader.status == 200
    assert reader.headers == [(b"x-a", b"1"), (b"content-length", b"5")]


def test_trailers_are_no_fields_of_the_head() -> None:
    reader, _ = _read(_CHUNKED)
    assert reader.headers == [(b"x-a", b"1")]


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    reader, body = _read(b"HTTP/1.1 %d X\r\ncontent-length: 10\r\n\r\n" % status)
    assert (reader.finished, reader.reusable, body) == (True, True, b"")


def test_the_answer_to_head_has_no_body_and_ends_the_connections_use() -> None:
    reader, body = _read(_WHOLE, bodiless=True)
    assert (reader.finished, reader.reusable, body) == (True, False, b"")


def test_without_a_length_the_connection_ends_the_body() -> None:
    reader, body = _read(b"HTTP/1.1 200 OK\r\n\r\n", b"all", b" of it")
    assert (reader.finished, reader.until_close, reader.reusable, body) == (False, True, False, b"all of it")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_connection_that_is_to_close_is_not_used_again(head: bytes) -> None:
    reader, _ = _read(head + b"content-length: 0\r\n\r\n")
    assert (reader.finished, reader.reusable) == (True, False)


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"HT", b"\0"])
def test_a_connection_that_said_more_than_the_answer_is_not_used_again(surplus: bytes) -> None:
    reader, body = _read(_WHOLE + surplus)
    assert (reader.finished, reader.reusable, body) == (True, False, b"hello")


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\nx-a: 1\n\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1 \r\nx\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\nx\n0\n\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/3.0 200 OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(wire: bytes) -> None:
    with pytest.raises(PARSING):
        _read(wire)


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * (LONGEST_HEAD + 1) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-many: 1\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-t: " + b"x" * (LONGEST_HEAD + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * (LONGEST_HEAD + 1),
    ],
    ids=["field", "fields", "continues", "trailer", "extension"],
)
@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_what_never_becomes_a_body_is_not_read_for_ever(wire: bytes, size: int) -> None:
    with pytest.raises(Violation, match="65536"):
        _read(*(wire[start : start + size] for start in range(0, len(wire), size)))


def test_a_head_just_under_the_limit_is_read_with_a_body_behind_it() -> None:
    field = b"x" * (LONGEST_HEAD - 1000)
    reader, body = _read(
        b"HTTP/1.1 200 OK\r\nx-long: " + field + b"\r\ncontent-length: 5000\r\n\r\n" + b"y" * 5000
    )
    assert (reader.status, len(body)) == (200, 5000)


def test_a_reader_reads_one_response_after_the_other() -> None:
    reader = ResponseReader()
    for wire in (_WHOLE, _CHUNKED, _WHOLE):
        reader.expect()
        reader.feed(wire)
        assert (reader.take(), reader.finished, reader.reusable) == (b"hello", True, True)


@given(st.binary(max_size=200))
def test_garbage_raises_what_is_expected_or_nothing(garbage: bytes) -> None:
    try:
        _read(garbage)
        _read(b"HTTP/1.1 200 OK\r\n" + garbage)
        _read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + garbage)
    except PARSING:
        pass
