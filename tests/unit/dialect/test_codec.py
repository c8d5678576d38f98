from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.dialect.codec import DONE, cut, decode, encode, encode_text, event, events, payloads


@given(
    st.recursive(st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=5)
)
def test_json_is_decoded_as_the_standard_library_does(value: Any) -> None:
    assert decode(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    ["123456789012345678901234567890", '{"a":[18446744073709551616]}', '"\\ud800"', "[NaN]", "-0.0", "1e400"],
)
def test_what_orjson_would_change_or_refuse_is_exact(text: str) -> None:
    assert repr(decode(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 2000 + b"1" + b"}" * 2000])
def test_what_is_no_json_is_none(raw: bytes) -> None:
    assert decode(raw) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_as_the_standard_library_does(raw: bytes) -> None:
    try:
        expected = json.loads(raw)
    except ValueError:
        expected = None
    assert repr(decode(raw)) == repr(expected)


@pytest.mark.parametrize("value", ["\ud800", 1 << 70, {"a": [1 << 65, "é"]}])
def test_what_orjson_refuses_is_encoded(value: Any) -> None:
    assert json.loads(encode(value)) == value
    assert json.loads(encode_text(value)) == value


def test_what_is_too_deep_to_write_is_null() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert encode_text(deep) == "null"


@given(st.text())
def test_a_text_is_cut_into_its_pieces(text: str) -> None:
    assert "".join(cut(text)) == text
    assert len(cut(text)) <= 4


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_come_back(sent: list[str], newline: bytes) -> None:
    stream = b"".join(map(event, sent)).replace(b"\n", newline)
    assert list(payloads(stream)) == sent


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"data: a\ndata: b\n\ndata:c", [b"a\nb", b"c"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": comment\n\nevent: x\nid: 1\nretry: 3\n\ndata:  a\n\n", [b" a"]),
        (b"data\n\ndata:\n\n", [b"", b""]),
        (b"dataset: a\n\n", []),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, found: list[bytes]) -> None:
    assert list(events(stream)) == found


def test_bytes_that_are_no_text_are_read_as_clients_do() -> None:
    assert list(payloads(b'data: {"a":"\xff"}\n\n')) == [{"a": "\ufffd"}]


def test_a_stream_ends_at_its_mark() -> None:
    assert list(payloads(b"data: 1\n\ndata: {\n\ndata: [DONE] \n\ndata: 2\n\n")) == [1, None, DONE]


def test_a_long_number_in_a_stream_is_exact() -> None:
    assert list(payloads(b"data: 123456789012345678901234567890\n\n")) == [123456789012345678901234567890]


def test_a_named_event_has_its_name_first() -> None:
    assert event({"a": 1}, "ping") == b'event: ping\ndata: {"a":1}\n\n'
