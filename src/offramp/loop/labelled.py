"""Reading pairs of answers of which people, or a gold standard, say whether they are the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offramp.certify.agreement import Pair
from offramp.certify.judge import Labelled
from offramp.core.call import Answer, answer_of
from offramp.core.errors import BadInput, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject

_FORM = '{"request": ..., "teacher": ..., "ours": ..., "same": true or false}'


def read_labelled(path: Path) -> list[Labelled]:
    """Read a JSONL file of labelled pairs, one an object a line.

    ``request`` is a chat-completions request, or the text of its one user message. ``teacher`` and ``ours``
    are a text, a message (``{"content": ..., "tool_calls": ...}``), or a whole chat completion.

    Raises:
        NotFound: There is no such file.
        BadInput: A line is something else, or there is none.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.", hint="Name a JSONL file.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no text: {error}.", hint=f"A line reads {_FORM}.") from error
    found = [_labelled(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise BadInput(f"{path} holds no labelled pair.", hint=f"A line reads {_FORM}.")
    return found


def _labelled(path: Path, number: int, line: str) -> Labelled:
    def bad(what: str) -> BadInput:
        return BadInput(f"{path}, line {number}: {what}.", hint=f"A line reads {_FORM}.")

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad("it is no JSON") from error
    if not isinstance(row, dict) or not isinstance(row.get("same"), bool):
        raise bad("it does not say whether the answers are the same")
    request = row.get("request")
    if isinstance(request, str):
        request = {"messages": [{"role": "user", "content": request}]}
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        raise bad("its request is none")
    ours, teacher = (_answer(row.get(side)) for side in ("ours", "teacher"))
    if ours is None or teacher is None:
        raise bad(f"{'ours' if ours is None else 'teacher'} is no answer")
    return Labelled(Pair(request, ours, teacher), row["same"])


def _answer(value: Any) -> Answer | None:
    if isinstance(value, str):
        return Answer(value) if value.strip() else None
    if not isinstance(value, dict):
        return None
    response: JsonObject = value if "choices" in value else {"choices": [{"message": value}]}
    answer = answer_of(response)
    return None if answer is None or not (answer.text or answer.tool_calls) else answer
