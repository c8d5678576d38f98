from __future__ import annotations

import struct
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Dialect
from offramp.record.exchange import FACTS, Exchange, decode, encode, new_call_id

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
def test_an_exchange_survives_its_frame(exchange: Exchange) -> None:
    assert decode(encode(exchange)) == exchange


def test_a_frame_of_another_version_is_read_by_its_names() -> None:
    exchange = Exchange(b"request", b"response", 5.0, who="who-1")
    names = [name if name != "trainable" else "unheard_of" for name in FACTS]
    assert decode(encode(exchange), names) == exchange


def test_what_is_lacking_in_a_frame_has_its_default() -> None:
    facts = orjson.dumps([7.0, "a-1"])
    frame = struct.pack(">II", len(facts), 2) + facts + b"{}[]"
    assert decode(frame, ("started_at", "id")) == Exchange(b"{}", b"[]", 7.0, id="a-1")


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
