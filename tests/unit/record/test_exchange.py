from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Dialect
from offramp.record.exchange import LENGTH, Exchange, decode, encode, new_call_id

exchanges = st.builds(
    Exchange,
    request=st.binary(max_size=50),
    response=st.binary(max_size=50),
    started_at=st.floats(0, 2e9),
    latency_s=st.floats(0, 1e3),
    status=st.integers(100, 599),
    stream=st.booleans(),
    complete=st.booleans(),
    who=st.text(st.characters(codec="utf-8")),
    run=st.text(st.characters(codec="utf-8")),
    dialect=st.sampled_from(Dialect),
    trainable=st.booleans(),
    meta=st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(-5, 5), max_size=3),
)


@given(exchanges)
def test_an_exchange_survives_the_channel(exchange: Exchange) -> None:
    frame = b"".join(encode(exchange))
    (length,) = LENGTH.unpack_from(frame)
    assert length == len(frame) - LENGTH.size
    assert decode(frame[LENGTH.size :]) == exchange


def test_bodies_are_not_copied() -> None:
    exchange = Exchange(b"request", b"response", 0.0)
    assert encode(exchange)[1] is exchange.request
    assert encode(exchange)[2] is exchange.response


@pytest.mark.parametrize(
    "frame", [b"", b"\0\0\0\1", b"\0\0\0\2\0\0\0\0{}", b"\0\0\0\3\0\0\0\0[1]", b"x" * 100]
)
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(ValueError, match="are no frame"):
        decode(frame)


def test_ids_are_unique_and_sort_by_time() -> None:
    first = new_call_id()
    time.sleep(0.002)
    second = new_call_id()
    assert first < second
    assert len({new_call_id() for _ in range(1000)}) == 1000
