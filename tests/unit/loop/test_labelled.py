from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from offramp.certify.agreement import Pair
from offramp.certify.judge import Labelled
from offramp.core.call import Answer, ToolCall
from offramp.core.errors import BadInput, NotFound
from offramp.loop.labelled import read_labelled
from offramp.testing.traffic import say, use

if TYPE_CHECKING:
    from pathlib import Path

ASKED = {"messages": [{"role": "user", "content": "hello"}]}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_requests_and_answers_come_in_short_and_in_full(tmp_path: Path) -> None:
    short = {"request": "hello", "teacher": "hi", "ours": "go away", "same": False}
    message = use("f", x="1")["choices"][0]["message"]
    full = {"request": ASKED, "teacher": say("hi"), "ours": message, "same": True}
    found = read_labelled(written(tmp_path, short, "", full))
    assert found == [
        Labelled(Pair(ASKED, Answer("go away"), Answer("hi")), same=False),
        Labelled(Pair(ASKED, Answer(tool_calls=(ToolCall("f", {"x": "1"}),)), Answer("hi")), same=True),
    ]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("{", "line 2: it is no JSON"),
        ([], "does not say whether"),
        ({"request": "a", "teacher": "b", "ours": "c", "same": "yes"}, "does not say whether"),
        ({"request": {}, "teacher": "b", "ours": "c", "same": True}, "its request is none"),
        ({"request": 3, "teacher": "b", "ours": "c", "same": True}, "its request is none"),
        ({"request": "a", "teacher": 1, "ours": "c", "same": True}, "teacher is no answer"),
        ({"request": "a", "teacher": "b", "ours": "", "same": True}, "ours is no answer"),
        ({"request": "a", "teacher": "b", "ours": {"choices": []}, "same": True}, "ours is no answer"),
    ],
)
def test_a_line_that_is_no_labelled_pair_is_named(tmp_path: Path, row: object, named: str) -> None:
    good = {"request": "a", "teacher": "b", "ours": "c", "same": True}
    with pytest.raises(BadInput, match=named) as raised:
        read_labelled(written(tmp_path, good, row))
    assert '"same": true or false' in raised.value.hint


def test_a_file_without_pairs_or_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no labelled pair"):
        read_labelled(written(tmp_path, "", " "))
    with pytest.raises(NotFound, match="cannot be read"):
        read_labelled(tmp_path / "none.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BadInput, match="is no text"):
        read_labelled(tmp_path / "bytes")
