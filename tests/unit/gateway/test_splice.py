from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.gateway.splice import splice_model

_TEXT = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["model", '"', "\\", "{", "}]"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = st.lists(st.tuples(_TEXT, _VALUES), max_size=5)


def _object(members: list[tuple[str, Any]], *, ascii_only: bool, space: str) -> bytes:
    written = [
        f"{space}{json.dumps(key, ensure_ascii=ascii_only)}{space}:{space}"
        f"{json.dumps(value, ensure_ascii=ascii_only)}{space}"
        for key, value in members
    ]
    return f"{space}{{{','.join(written)}{space}}}{space}".encode()


@given(_MEMBERS, st.booleans(), st.sampled_from(["", " ", "\r\n\t"]), _TEXT)
def test_only_the_model_changes_for_any_object(
    members: list[tuple[str, Any]], ascii_only: bool, space: str, model: str
) -> None:
    body = _object(members, ascii_only=ascii_only, space=space)
    assert json.loads(splice_model(body, model)) == {**json.loads(body), "model": model}


@given(_MEMBERS, st.sampled_from(["", " "]))
def test_the_bytes_around_the_model_stay(members: list[tuple[str, Any]], space: str) -> None:
    before = _object([*members, ("model", "old name")], ascii_only=False, space=space)
    head, tail = before.rsplit(b'"old name"', 1)
    if all(key != "model" for key, _ in members):
        assert splice_model(before, "new") == head + b'"new"' + tail


def test_every_model_of_the_top_level_is_replaced() -> None:
    body = b'{"model":"a","x":{"model":"b"},"m\\u006fdel":null, "model" : {"y":["}"]} }'
    assert splice_model(body, "n") == b'{"model":"n","x":{"model":"b"},"m\\u006fdel":"n", "model" : "n" }'


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"{}", b'{"model":"n"}'), (b' { "a":1}', b' {"model":"n", "a":1}'), (b"{ }", b'{"model":"n" }')],
)
def test_a_request_without_a_model_gets_one(body: bytes, expected: bytes) -> None:
    assert splice_model(body, "n") == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"[1]", b'"model"', b"{", b'{"model"', b'{"a":', b'{"a":[', b'{"a" 1}', b"{1:2}", b'{"a":1 2}'],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"byte|body"):
        splice_model(body, "n")


def test_half_a_string_of_backslashes_is_read_in_one_pass() -> None:
    with pytest.raises(ValueError, match="byte"):
        splice_model(b'{"' + b"\\\\" * 100_000, "n")
