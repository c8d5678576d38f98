from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offramp.upstream.port import end_to_end, header_of

_NAMES = st.sampled_from([b"X-A", b"x-b", b"Connection", b"Keep-Alive", b"TE", b"Content-Type", b"Upgrade"])
_FIELDS = st.lists(st.tuples(_NAMES, st.binary(max_size=5)))


def test_fields_about_one_connection_are_dropped() -> None:
    fields = [(b"Transfer-Encoding", b"chunked"), (b"Content-Type", b"text/plain"), (b"TE", b"trailers")]
    assert end_to_end(fields) == [(b"content-type", b"text/plain")]


def test_a_field_that_connection_names_is_dropped() -> None:
    fields = [(b"x-hop", b"1"), (b"connection", b"close, X-Hop"), (b"x-stays", b"2")]
    assert end_to_end(fields) == [(b"x-stays", b"2")]


def test_a_field_sent_twice_stays_twice_and_in_order() -> None:
    fields = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    assert end_to_end(fields) == fields


@given(_FIELDS)
def test_dropping_again_drops_nothing_more(fields: list[tuple[bytes, bytes]]) -> None:
    once = end_to_end(fields)
    assert end_to_end(once) == once


@given(_FIELDS)
def test_values_are_never_changed(fields: list[tuple[bytes, bytes]]) -> None:
    given = [(name.lower(), value) for name, value in fields]
    assert all(field in given for field in end_to_end(fields))


def test_the_first_of_two_fields_is_found() -> None:
    assert header_of([(b"a", b"1"), (b"b", b"2"), (b"b", b"3")], b"b") == b"2"


def test_a_field_that_is_not_there_is_none() -> None:
    assert header_of([(b"a", b"1")], b"b") is None
