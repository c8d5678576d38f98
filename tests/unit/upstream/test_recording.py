from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import BadInput, NotFound
from offramp.upstream.recording import Recording, load_recording, request_key

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject


def _request(text: str = "hello", **fields: object) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **fields}


def _says(text: str) -> JsonObject:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def _row(text: str = "hello", answer: str = "hi", **keys: object) -> str:
    return json.dumps({"request": _request(text), "response": _says(answer), **keys})


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def _next_text(recording: Recording, request: JsonObject) -> str:
    answer = recording.next_answer(request)
    assert answer is not None
    text: str = json.loads(answer.body)["choices"][0]["message"]["content"]
    return text


def test_calls_with_and_without_meta_are_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "calls.jsonl", _row("a", "1", meta={"x": 1}), _row("b", "2"))
    recording = load_recording([path])
    assert [_next_text(recording, _request(text)) for text in "ab"] == ["1", "2"]


def test_gzip_is_read_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl.gz"
    path.write_bytes(gzip.compress(_row().encode()))
    assert load_recording([path]).calls == 1


def test_calls_of_several_files_add_up(tmp_path: Path) -> None:
    paths = [_write(tmp_path / f"{name}.jsonl", _row(name)) for name in "abc"]
    assert load_recording(paths).calls == 3


def test_the_answers_to_a_repeated_request_take_turns(tmp_path: Path) -> None:
    path = _write(tmp_path / "calls.jsonl", _row(answer="1"), _row(answer="2"), _row(answer="3"))
    recording = load_recording([path])
    assert [_next_text(recording, _request()) for _ in range(5)] == ["1", "2", "3", "1", "2"]


def test_an_unrecorded_request_has_no_answer() -> None:
    assert Recording().next_answer(_request()) is None


def test_models_are_remembered(tmp_path: Path) -> None:
    assert load_recording([_write(tmp_path / "calls.jsonl", _row())]).models == {"gpt-4o"}


def test_the_request_is_not_kept() -> None:
    recording = Recording()
    recording.add(_request("a very telling question"), _says("hi"))
    assert "telling" not in repr(recording)


@given(st.dictionaries(st.text(max_size=3), st.integers(-9, 9) | st.text(max_size=3), max_size=4))
def test_the_order_of_keys_does_not_matter(fields: dict[str, object]) -> None:
    assert request_key(fields) == request_key(dict(reversed(fields.items())))


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream_options": {"include_usage": True}}])
def test_how_the_answer_travels_does_not_matter(fields: JsonObject) -> None:
    assert request_key(_request(**fields)) == request_key(_request())


@pytest.mark.parametrize(
    "other", [{"model": "gpt-4o-mini"}, {"temperature": 0.5}, {"tools": []}, {"messages": []}]
)
def test_everything_else_matters(other: JsonObject) -> None:
    assert request_key({**_request(), **other}) != request_key(_request())


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"response": {"error": {"message": "slow down"}}, "meta": {"status": 429}}, 429),
        ({"response": {"error": {"message": "no key", "code": 401}}}, 401),
        ({"response": {"error": {"message": "odd", "code": "odd"}}}, 500),
        ({"response": _says("fine")}, 200),
        ({"response": _says("fine"), "meta": {"status": None}}, 200),
    ],
)
def test_the_status_is_the_recorded_one(tmp_path: Path, row: JsonObject, status: int) -> None:
    path = _write(tmp_path / "calls.jsonl", json.dumps({"request": _request(), **row}))
    answer = load_recording([path]).next_answer(_request())
    assert answer is not None
    assert answer.status == status


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{broken", "not JSON"),
        ("[1, 2]", "[1, 2]"),
        ('{"request": {"messages": []}}', 'expected an object with "request" and "response"'),
        ('{"request": {}, "response": {"choices": []}}', "no list of messages"),
        ('{"request": {"messages": []}, "response": {}}', "neither a chat completion nor an error"),
        ('{"request": {"messages": []}, "response": {"choices": [1]}}', "neither a chat completion"),
        (
            '{"request": {"messages": []}, "response": {"choices": [{"message": {"tool_calls": [7]}}]}}',
            "neither a chat completion",
        ),
    ],
)
def test_a_broken_line_is_named_with_what_it_held(tmp_path: Path, line: str, found: str) -> None:
    path = _write(tmp_path / "calls.jsonl", _row(), "", line)
    with pytest.raises(BadInput) as caught:
        load_recording([path])
    assert f"{path}, line 3" in str(caught.value)
    assert found in str(caught.value)


def test_broken_lines_are_skipped_and_counted_where_asked(tmp_path: Path) -> None:
    path = _write(tmp_path / "calls.jsonl", "{broken", _row(), "null")
    recording = load_recording([path], skip_broken=True)
    assert (recording.calls, recording.skipped) == (1, 2)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.jsonl"):
        load_recording([tmp_path / "none.jsonl"])


@pytest.mark.parametrize("content", [b"plain text", gzip.compress(_row().encode() * 50)[:-20]])
def test_a_damaged_gzip_file_is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calls.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="cannot be read"):
        load_recording([path])


def test_a_long_line_is_not_repeated_in_full(tmp_path: Path) -> None:
    path = _write(tmp_path / "calls.jsonl", "x" * 5000)
    with pytest.raises(BadInput) as caught:
        load_recording([path])
    assert len(str(caught.value)) < 400
