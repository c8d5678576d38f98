from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.call import Usage
from offramp.core.errors import BadInput, NotFound
from offramp.interchange import Broken
from offramp.interchange import read_calls as read_raw
from offramp.record.imports import admitted
from offramp.record.pseudonym import Pseudonyms
from offramp.redact.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offramp.core.call import Call
    from offramp.core.json import JsonObject

PSEUDONYMS = Pseudonyms(b"k" * 32)
REDACTOR = Redactor(b"r" * 32)
HELLO: JsonObject = {"role": "user", "content": "hello"}
ANSWER: JsonObject = {"role": "assistant", "content": "hi"}


@dataclass(frozen=True)
class Same:
    """What a redactor gives that finds nothing."""

    value: Any


def read_calls(
    paths: list[Path], redact: Callable[[Any], Any], pseudonyms: Pseudonyms, broken: Broken | None = None
) -> Iterator[Call]:
    return admitted(read_raw(paths, broken=broken), redact, pseudonyms)


def pair(**row: Any) -> JsonObject:
    response = {"choices": [{"message": ANSWER, "finish_reason": "stop"}]}
    return {"request": {"model": "m", "messages": [HELLO]}, "response": response, **row}


def chat(*messages: JsonObject, **row: Any) -> JsonObject:
    return {"messages": list(messages), **row}


def write(path: Path, *rows: JsonObject | str) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path: Path, *rows: JsonObject | str, broken: Broken | None = None) -> list[Call]:
    write(path, *rows)
    return list(read_calls([path], Same, PSEUDONYMS, broken=broken))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def test_a_pair_is_a_call(path: Path) -> None:
    (call,) = read(path, pair())
    assert call.request == pair()["request"]
    assert call.response == pair()["response"]
    assert (call.status, call.route) == (200, "teacher")


def test_a_chat_is_a_request_and_its_answer(path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "go"}}]
    (call,) = read(path, chat({"role": "system", "content": "Be."}, HELLO, ANSWER, model="m", tools=tools))
    assert call.request == {
        "model": "m",
        "tools": tools,
        "messages": [{"role": "system", "content": "Be."}, HELLO],
    }
    assert call.response["choices"][0]["message"] == ANSWER
    assert call.response["choices"][0]["finish_reason"] == "stop"


def test_a_chat_that_ends_with_a_tool_call_says_so(path: Path) -> None:
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "go", "arguments": "{}"}}],
    }
    (call,) = read(path, chat(HELLO, called))
    assert call.response["choices"][0]["finish_reason"] == "tool_calls"


def test_gzip_and_blank_lines_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(gzip.compress(f"\n{json.dumps(pair())}\n\n{json.dumps(pair())}".encode()))
    assert len(list(read_calls([packed], Same, PSEUDONYMS))) == 2


@pytest.mark.parametrize(
    ("row", "at"),
    [
        ({"ts": 1_700_000_000}, 1_700_000_000.0),
        ({"ts": 1_700_000_000.5}, 1_700_000_000.5),
        ({"ts": 1_700_000_000_500}, 1_700_000_000.5),
        ({"timestamp": "2023-11-14T22:13:20+00:00"}, 1_700_000_000.0),
        ({"created_at": "2023-11-14T22:13:20Z"}, 1_700_000_000.0),
        ({"time": "2023-11-14T23:13:20+01:00"}, 1_700_000_000.0),
        ({"time": "2023-11-14 22:13:20"}, 1_700_000_000.0),
        ({"ts": "yesterday", "time": 1_700_000_000}, 1_700_000_000.0),
        ({"ts": None}, 1.0),
        ({}, 1.0),
    ],
)
def test_times_are_read_in_many_forms(path: Path, row: JsonObject, at: float) -> None:
    assert read(path, pair(**row))[0].at == at


def test_without_times_lines_keep_their_order(path: Path) -> None:
    assert [call.at for call in read(path, pair(), pair(), pair())] == [1.0, 2.0, 3.0]


def test_the_same_line_has_the_same_id_and_no_other_has(path: Path) -> None:
    first, second = (read(path, pair(), pair()) for _ in range(2))
    assert [call.id for call in first] == [call.id for call in second]
    assert first[0].id != first[1].id


def test_a_session_of_the_log_becomes_a_pseudonym(path: Path) -> None:
    calls = read(path, pair(session="run-7"), pair(session_id="run-7"), pair(session="run-8"))
    assert calls[0].session == calls[1].session != calls[2].session
    assert "run-7" not in calls[0].session


def test_calls_of_one_user_within_half_an_hour_are_a_session(path: Path) -> None:
    def asked(minute: int, user: str) -> JsonObject:
        return pair(request={"messages": [HELLO], "user": user}, ts=1_700_000_000 + 60 * minute)

    calls = read(path, asked(0, "jane"), asked(10, "jane"), asked(10, "john"), asked(90, "jane"))
    assert calls[0].session == calls[1].session
    assert len({call.session for call in calls}) == 3


def test_times_in_milliseconds_make_the_same_sessions_as_seconds(path: Path) -> None:
    def sessions(unit: int) -> list[str]:
        rows = [
            pair(request={"messages": [HELLO], "user": "jane"}, ts=(1_700_000_000 + 60 * minute) * unit)
            for minute in (0, 10, 90)
        ]
        return [call.session for call in read(path, *rows)]

    assert sessions(1) == sessions(1000)


def test_identities_and_secrets_do_not_get_in(path: Path) -> None:
    message = {"role": "user", "content": "write to jane.roe@example.org with sk-proj-" + "a1B2" * 12}
    row = pair(
        request={"messages": [message], "user": "jane.roe"},
        response={"choices": [{"message": {"role": "assistant", "content": "to jane.roe@example.org"}}]},
        session="jane.roe",
    )
    write(path, row)
    (call,) = read_calls([path], REDACTOR.redact, PSEUDONYMS)
    kept = json.dumps([call.request, call.response, call.session, call.origin, call.id])
    assert "jane.roe" not in kept
    assert "a1B2a1B2" not in kept


def test_counted_tokens_are_kept_and_missing_ones_estimated(path: Path) -> None:
    usage = {"prompt_tokens": 40, "completion_tokens": 7}
    counted, estimated = read(path, pair(response={**pair()["response"], "usage": usage}), pair())
    assert counted.usage == Usage(40, 7)
    assert 5 < estimated.usage.prompt_tokens < 30
    assert estimated.usage.completion_tokens > 0


def test_the_status_of_a_failed_call_is_kept(path: Path) -> None:
    (call,) = read(path, pair(response={"error": {"message": "no"}}, meta={"status": 429}))
    assert call.status == 429


BROKEN_ROWS = [
    "{nonsense",
    "7",
    "[]",
    "{}",
    '{"request": {"messages": []}}',
    '{"request": {"messages": "x"}, "response": {}}',
    '{"request": [], "response": {}}',
    '{"request": {"messages": []}, "response": "x"}',
    '{"request": {"messages": []}, "response": {"usage": {"prompt_tokens": "many"}}}',
    '{"request": {"messages": []}, "response": {"usage": [1]}}',
    '{"request": {"messages": []}, "response": {"choices": ["x"]}}',
    '{"request": {"messages": []}, "response": {"choices": 7}}',
    '{"request": {"messages": []}, "response": {}, "meta": "x"}',
    '{"request": {"messages": []}, "response": {}, "meta": {"status": "bad"}}',
    '{"messages": "x"}',
    '{"messages": [{"role": "assistant", "content": "hi"}]}',
    '{"messages": [{"role": "user"}, {"role": "user"}]}',
    '{"messages": [1, 2]}',
]


@pytest.mark.parametrize("line", BROKEN_ROWS)
def test_a_broken_line_is_named_with_its_file_and_number(path: Path, line: str) -> None:
    with pytest.raises(BadInput, match=r"log\.jsonl, line 2 is no recorded call") as failure:
        read(path, pair(), line)
    assert "--skip-broken" in failure.value.hint


def test_broken_lines_are_counted_on_demand(path: Path) -> None:
    broken = Broken()
    calls = read(path, pair(), *BROKEN_ROWS, pair(), broken=broken)
    assert len(calls) == 2
    assert broken.lines == len(BROKEN_ROWS)
    assert "line 2" in broken.first


def nested(depth: int, where: str) -> str:
    deep = '{"a":' * depth + "1" + "}" * depth
    request = '{"messages": [], "metadata": {"x": ' + (deep if where == "metadata" else "1") + "}}"
    return '{"request": ' + request + ', "response": {"x": ' + (deep if where == "response" else "1") + "}}"


def test_an_answer_nested_deeply_is_cut_and_kept(path: Path) -> None:
    write(path, nested(400, "response"))
    (call,) = read_calls([path], REDACTOR.redact, PSEUDONYMS)
    assert len(json.dumps(call.response)) < 2000


@pytest.mark.parametrize("where", ["metadata", "response"])
def test_a_line_nested_too_deeply_is_named_or_skipped(path: Path, where: str) -> None:
    write(path, json.dumps(pair()), nested(600, where), json.dumps(pair()))
    with pytest.raises(BadInput, match=r"log\.jsonl, line 2 is nested too deeply"):
        list(read_calls([path], REDACTOR.redact, PSEUDONYMS))
    broken = Broken()
    assert len(list(read_calls([path], REDACTOR.redact, PSEUDONYMS, broken=broken))) == 2
    assert broken.lines == 1


@pytest.mark.parametrize("content", [b"no gzip at all", gzip.compress(b"x" * 10_000)[:40]])
def test_a_gzip_that_breaks_off_is_named(tmp_path: Path, content: bytes) -> None:
    packed = tmp_path / "log.jsonl.gz"
    packed.write_bytes(content)
    with pytest.raises(BadInput, match="breaks off"):
        list(read_calls([packed], Same, PSEUDONYMS))


def test_bytes_that_are_no_text_are_a_broken_line(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(BadInput, match="line 1"):
        list(read_calls([path], Same, PSEUDONYMS))


def test_a_missing_file_or_a_folder_is_named(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "nowhere", "There is no file"), (tmp_path, "is a folder")):
        with pytest.raises(NotFound, match=said):
            list(read_calls([path], Same, PSEUDONYMS))
