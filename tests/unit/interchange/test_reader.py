"""Files as other tools leave them: lines, one array, one document, packed or not."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from offramp.core.errors import BadInput, NotFound
from offramp.interchange import Broken, format_named, read_calls

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject

OURS = "0192f0c1a2b3-" + "5" * 16


def pair(**more: object) -> JsonObject:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    answer = {"role": "assistant", "content": "hello"}
    return {"request": request, "response": {"choices": [{"message": answer}]}, **more}


def test_one_array_is_read_as_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([pair(ts=1), pair(ts=2)], indent=2))
    assert [call.at for call in read_calls([path])] == [1.0, 2.0]


def test_a_packed_array_is_read(tmp_path: Path) -> None:
    path = tmp_path / "export.json.gz"
    path.write_bytes(gzip.compress(json.dumps([pair()]).encode()))
    assert len(list(read_calls([path]))) == 1


def test_one_document_over_many_lines_is_read(tmp_path: Path) -> None:
    generation = {"id": "o", "type": "GENERATION", "input": "hi", "output": "hello"}
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"trace": {"sessionId": "run"}, "observations": [generation]}, indent=2))
    (call,) = read_calls([path])
    assert call.session == "run"


def test_a_document_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text('{\n  "observations": [')
    with pytest.raises(BadInput, match=r"trace\.json is no JSON"):
        list(read_calls([path]))


def test_an_empty_array_is_no_call(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text("[]")
    with pytest.raises(BadInput, match="line 1 is no recorded call"):
        list(read_calls([path]))


def test_a_broken_row_of_an_array_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([pair(), {"x": 1}]))
    with pytest.raises(BadInput, match="line 2 is no recorded call"):
        list(read_calls([path]))
    broken = Broken()
    assert len(list(read_calls([path], broken=broken))) == 1
    assert broken.lines == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.jsonl"):
        list(read_calls([tmp_path / "none.jsonl"]))


def test_ids_that_offramp_gave_are_kept_and_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(pair(id=OURS)) + "\n" + json.dumps(pair(id="jane@example.org")) + "\n")
    kept, made = read_calls([path])
    assert kept.id == OURS
    assert "jane" not in made.id


def test_a_format_that_is_named_is_the_one_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(pair()) + "\n")
    with pytest.raises(BadInput, match="line 1"):
        list(read_calls([path], wanted=format_named("chat")))


def test_what_cannot_be_a_time_is_no_time(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps(pair(ts=at)) for at in (True, "1700000000", 1.7e18, "soon")))
    assert [call.at for call in read_calls([path])] == [1.0, 1.7e9, 1.7e9, 4.0]
