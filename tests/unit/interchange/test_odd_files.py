"""Whatever bytes a file holds: calls, or one clear error, and then nothing of it is stored."""

from __future__ import annotations

import gzip
import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offramp.app import build
from offramp.app.imports import import_logs
from offramp.config import RecordSettings, Settings
from offramp.core.errors import BadInput
from offramp.interchange import read_calls

if TYPE_CHECKING:
    from pathlib import Path

_ASKED = [{"role": "user", "content": "x"}]
_SAID = {"role": "assistant", "content": "y"}
_ANSWER = {"choices": [{"message": _SAID}]}
_PART = {"parts": [{"type": "text", "content": "x"}], "finish_reason": "stop"}
_SPAN = {
    "name": "chat m",
    "traceId": "a",
    "startTimeUnixNano": "1",
    "endTimeUnixNano": "2",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.input.messages", "value": {"stringValue": json.dumps([_PART | {"role": "user"}])}},
        {
            "key": "gen_ai.output.messages",
            "value": {"stringValue": json.dumps([_PART | {"role": "assistant"}])},
        },
    ],
}
_ROWS: list[Any] = [
    {"request": {"messages": _ASKED}, "response": _ANSWER, "status": 200, "at": 1.0},
    {"messages": [*_ASKED, _SAID]},
    {"id": "a", "type": "GENERATION", "input": _ASKED, "output": _SAID, "startTime": "2024-01-01T00:00:00Z"},
    {"id": "a", "call_type": "acompletion", "messages": _ASKED, "response": _ANSWER, "startTime": 1.0},
    {"resourceSpans": [{"scopeSpans": [{"spans": [_SPAN]}]}]},
]
_ODD: list[Any] = [
    None,
    True,
    -1,
    2**63,
    10**30,
    1e308,
    "",
    "x",
    "99999-01-01",
    "1e999",
    "[]",
    "\0",
    [],
    {},
    [1],
]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a value that something can be put in."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Draw a row of a known format with odd values in some of its places."""
    row = json.loads(json.dumps(draw(st.sampled_from(_ROWS))))
    for _ in range(draw(st.integers(1, 3))):
        if places := _places(row):
            holder, key = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = deepcopy(draw(st.sampled_from(_ODD)))
    return json.dumps(row).encode()


_FILES = st.one_of(
    _damaged(),
    st.lists(_damaged(), max_size=3).map(b"\n".join),
    st.binary(max_size=80),
    st.binary(max_size=40).map(gzip.compress),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=_FILES, name=st.sampled_from(["a.jsonl", "a.json", "a.jsonl.gz"]))
def test_any_file_holds_calls_or_is_one_clear_error(tmp_path: Path, raw: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    error = ""
    try:
        list(read_calls([path]))
    except BadInput as failure:
        error = str(failure)
    assert error.count("\n") == 0
    assert not error or str(path) in error


def test_of_a_file_that_breaks_nothing_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([*(json.dumps(row).encode() for row in _ROWS), b"\xff"]))
    app = build(Settings(home=tmp_path / "home", record=RecordSettings(redact="structured")))
    with pytest.raises(BadInput, match="line 6"):
        import_logs(app, [path])
    assert app.store.count() == 0
    app.close()
