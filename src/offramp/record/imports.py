"""Recorded calls from JSONL files: request/response pairs, or chats that end with the answer."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from offramp.core.call import Call, Usage
from offramp.core.errors import BadInput, NotFound
from offramp.core.json import digest
from offramp.record.pseudonym import origin_of, rename
from offramp.record.session import SessionTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.record.pseudonym import Pseudonyms

    Redact = Callable[[Any], Any]

CHARACTERS_PER_TOKEN = 4
_REQUEST_KEYS = ("model", "tools", "functions", "response_format", "temperature", "user", "metadata")
_TIMES = ("ts", "timestamp", "created_at", "time")
_SHOWN = 60
_LEAVE_OUT = "--skip-broken leaves such lines out."
_LATEST_S = 1e11
"""Seconds of the year 5138; a larger time is in milliseconds."""


class Broken:
    """Lines that could not be read.

    Attributes:
        lines: How many.
        first: What was wrong with the first of them, "" where there is none.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.first = ""

    def add(self, message: str) -> None:
        """Count one."""
        self.lines += 1
        self.first = self.first or message


def read_calls(
    paths: Iterable[Path], redact: Redact, pseudonyms: Pseudonyms, *, broken: Broken | None = None
) -> Iterator[Call]:
    """Yield the calls of JSONL files (plain or gzip), masked and with pseudonyms for who asked.

    Args:
        paths: The files.
        redact: Masks PII and secrets in a JSON value.
        pseudonyms: Make keyed pseudonyms of identities.
        broken: Takes lines that cannot be read; where not given the first one is an error.

    Raises:
        NotFound: There is no such file.
        BadInput: A file is no JSONL, or a line is no call: the message names file, line and content.
    """
    tracker = SessionTracker(pseudonyms)
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            try:
                yield _call(_row(line, number, path), redact, pseudonyms, tracker)
            except RecursionError as error:
                deep = BadInput(f"{path}, line {number} is nested too deeply.", hint=_LEAVE_OUT)
                if broken is None:
                    raise deep from error
                broken.add(str(deep))
            except BadInput as error:
                if broken is None:
                    raise
                broken.add(str(error))


def _lines(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", hint="Give JSONL files of recorded calls.")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            yield from file
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"{path} breaks off: {error}.", hint="Copy it again; nothing was kept.") from error


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a log, decoded."""

    id: str
    at: float
    session: str
    status: int
    request: JsonObject
    response: JsonObject
    usage: Usage


def _row(line: bytes, number: int, path: Path) -> _Row:
    try:
        row = orjson.loads(line)
        request, response = _pair(row)
        return _Row(
            id=digest([str(path.resolve()), number, line.decode()], size=10),
            at=_time(row, number),
            session=str(row.get("session") or row.get("session_id") or ""),
            status=int((row.get("meta") or {}).get("status") or 200),
            request=request,
            response=response,
            usage=_usage(request, response),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{path}, line {number} is no recorded call ({_why(error)}): {line[:_SHOWN]!r}.",
            hint='Allowed: {"request": {...}, "response": {...}} or {"messages": [..., the answer]}. '
            + _LEAVE_OUT,
        ) from error


def _call(row: _Row, redact: Redact, pseudonyms: Pseudonyms, tracker: SessionTracker) -> Call:
    origin = origin_of(pseudonyms, "", row.request)
    masked = redact({"request": rename(pseudonyms, row.request), "response": row.response}).value
    return Call(
        id=row.id,
        at=row.at,
        session=tracker.session(origin, row.session, row.request, row.at),
        origin=origin,
        request=masked["request"],
        response=masked["response"],
        status=row.status,
        usage=row.usage,
    )


def _pair(row: JsonObject) -> tuple[JsonObject, JsonObject]:
    if "request" in row and "response" in row:
        request, response = row["request"], row["response"]
        if not isinstance(request["messages"], list) or not isinstance(response, dict):
            raise TypeError("request.messages has to be a list and response an object")
        return request, response
    messages = row["messages"]
    if not isinstance(messages, list) or len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise TypeError("messages have to end with the assistant's answer")
    request = {key: row[key] for key in _REQUEST_KEYS if key in row} | {"messages": messages[:-1]}
    finish = "tool_calls" if messages[-1].get("tool_calls") else "stop"
    return request, {"choices": [{"index": 0, "message": messages[-1], "finish_reason": finish}]}


def _why(error: Exception) -> str:
    if isinstance(error, orjson.JSONDecodeError):
        return "not JSON"
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _time(row: JsonObject, number: int) -> float:
    for key in _TIMES:
        value = row.get(key)
        if isinstance(value, int | float):
            return value / 1000 if value > _LATEST_S else float(value)
        if isinstance(value, str):
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                continue
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return float(number)


def _usage(request: JsonObject, response: JsonObject) -> Usage:
    usage = response.get("usage") or {}
    if usage.get("prompt_tokens"):
        return Usage(int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0))
    asked = len(orjson.dumps([request["messages"], request.get("tools")]))
    said = len(orjson.dumps([choice.get("message") for choice in response.get("choices") or []]))
    return Usage(asked // CHARACTERS_PER_TOKEN, said // CHARACTERS_PER_TOKEN)
