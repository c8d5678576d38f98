"""What a client sent may be anything: no recorded call keeps the others from going out and coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.call import Dialect
from offramp.dialect.codec import decode, encode
from offramp.interchange import FORMATS, format_named, read_calls
from offramp.record.exchange import Exchange
from offramp.record.parse import Parser

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.call import Call

NAMES = [known.name for known in FORMATS]
REQUESTS = [
    b"{}",
    b"no JSON",
    b'{"model": 5, "messages": "hi"}',
    b'{"messages": []}',
    b'{"messages": [1, "x"]}',
    b'{"messages": [{"role": "user", "content": [{"foo": 1}]}]}',
    b'{"messages": [{"role": "user", "content": "hi"}], "seed": 1180591620717411303424}',
    b'{"messages": [{"role": "user", "content": "half \\ud800 a pair"}]}',
    b'{"messages": [{"role": "assistant", "tool_calls": 5}]}',
    b'{"messages": [{"role": 5, "content": {"a": 1}}], "tools": 7, "stop": 7}',
    b'{"input": "x", "model": "e"}',
]
RESPONSES = [
    b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}}]}',
    b'{"error": {"message": "no"}}',
    b"<html>",
    b'{"choices": [5], "usage": 7}',
    b"{}",
]


class Unmasked:
    """What a redactor that masks nothing gives."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.counts: dict[str, int] = {}


def recorded() -> list[Call]:
    """Every request with every response, in every dialect, as the recorder has it."""
    parser = Parser(Unmasked, b"k" * 32)
    return [
        parser.parse(Exchange(request, response, 1_700_000_000.0, status=status, dialect=dialect))
        for dialect in Dialect
        for status in (200, 400)
        for request in REQUESTS
        for response in RESPONSES
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_is_refused_when_it_is_written_or_is_read_back(name: str) -> None:
    known = format_named(name)
    written = 0
    for call in recorded():
        try:
            row = known.write(call)
        except ValueError:
            continue
        written += 1
        (back,) = known.read(decode(encode(row)), 1)
        assert back.id == call.id or name == "chat"
    assert written


def test_pairs_hold_every_call_as_it_is(tmp_path: Path) -> None:
    calls = recorded()
    rows = [encode(format_named("pairs").write(call)) for call in calls]
    file = tmp_path / "all.jsonl"
    file.write_bytes(b"\n".join(rows))
    back = list(read_calls([file]))
    assert [(one.id, one.request, one.response, one.dialect) for one in back] == [
        (one.id, one.request, one.response, one.dialect) for one in calls
    ]


def test_a_document_of_rows_is_read_as_exactly_as_lines_are(tmp_path: Path) -> None:
    rows = [format_named("pairs").write(call) for call in recorded()[:40]]
    file = tmp_path / "all.json"
    file.write_bytes(encode(rows))
    assert [one.request for one in read_calls([file])] == [row["request"] for row in rows]
