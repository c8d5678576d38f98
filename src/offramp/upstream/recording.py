"""Recorded calls, looked up by request: read from JSONL, kept as a hash and the response's bytes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from offramp.core.errors import BadInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from offramp.core.json import JsonObject

_KEY_BYTES = 16
# How an answer travels is no part of the question.
_FRAMING = ("stream", "stream_options")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """What a teacher once answered.

    Attributes:
        number: Which call of the recording it is, from 1; what is made up for it derives from this.
        body: The response body: JSON.
        status: HTTP status.
    """

    number: int
    body: bytes
    status: int


@dataclass(slots=True)
class Recording:
    """Answers by request; the requests themselves are not kept.

    Attributes:
        calls: How many calls were read.
        skipped: How many broken lines were left out.
        models: The models that were asked.
    """

    calls: int = 0
    skipped: int = 0
    models: set[str] = field(default_factory=set)
    _answers: dict[bytes, list[RecordedAnswer]] = field(default_factory=dict)
    _turns: dict[bytes, int] = field(default_factory=dict)

    def add(self, request: JsonObject, response: JsonObject, *, status: int = 200) -> None:
        """Keep one more answer to a request.

        Raises:
            BadInput: The request or the response cannot be encoded as JSON for exchange.
        """
        key = request_key(request)
        # orjson's bytes sit in a 4 KB buffer; a copy takes the length it has.
        body = bytes(memoryview(_encoded(response)))
        answer = RecordedAnswer(self.calls + 1, body, status)
        self._answers.setdefault(key, []).append(answer)
        self.calls += 1
        if isinstance(request.get("model"), str):
            self.models.add(request["model"])

    def next_answer(self, request: JsonObject) -> RecordedAnswer | None:
        """Return the request's next recorded answer, in turn; None where it was never recorded."""
        key = request_key(request)
        answers = self._answers.get(key)
        if answers is None:
            return None
        if len(answers) == 1:
            return answers[0]
        turn = self._turns.get(key, 0)
        self._turns[key] = (turn + 1) % len(answers)
        return answers[turn]


def request_key(request: JsonObject) -> bytes:
    """Hash a whole request, but for how its answer is to travel.

    Raises:
        BadInput: The request holds what JSON for exchange does not (integers over 64 bits).
    """
    asked = {key: value for key, value in request.items() if key not in _FRAMING}
    return hashlib.blake2b(_encoded(asked, orjson.OPT_SORT_KEYS), digest_size=_KEY_BYTES).digest()


def _encoded(value: JsonObject, option: int | None = None) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except TypeError as error:
        raise BadInput(f"not JSON for exchange: {error}.") from error


def load_recording(paths: Iterable[Path], *, skip_broken: bool = False) -> Recording:
    """Read recorded calls from JSONL files, gzipped where the name ends in ``.gz``.

    A line is ``{"request": {...}, "response": {...}, "meta": {...}}``; ``meta.status`` is the HTTP
    status where it was not 200; further keys are not read.

    Args:
        paths: The files.
        skip_broken: Leave broken lines out and count them.

    Raises:
        NotFound: A file is not there.
        BadInput: A line is broken and ``skip_broken`` is off, or a file is no text at all.
    """
    recording = Recording()
    for path in paths:
        for number, line in _lines(path):
            try:
                request, response, status = _call_of(line)
                recording.add(request, response, status=status)
            except BadInput as error:
                if not skip_broken:
                    raise BadInput(
                        f"{path}, line {number}: {error.message}",
                        hint="Correct the line, or have broken lines skipped.",
                    ) from error
                recording.skipped += 1
    return recording


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", hint="Give JSONL files of recorded calls.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{path} cannot be read: {error}.", hint="Give a readable JSONL file, or one packed with gzip."
        ) from error


def _call_of(line: bytes) -> tuple[JsonObject, JsonObject, int]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not JSON ({error}): {_shown(line)}.") from error
    request = _object(row, "request", line)
    response = _object(row, "response", line)
    if not isinstance(request.get("messages"), list):
        raise BadInput(f"the request holds no list of messages: {_shown(line)}.")
    _check_choices(response, line)
    return request, response, _status(row, response)


def _object(row: object, name: str, line: bytes) -> JsonObject:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, dict):
        raise BadInput(f'expected an object with "request" and "response"; found {_shown(line)}.')
    return value


def _check_choices(response: JsonObject, line: bytes) -> None:
    choices = response.get("choices")
    if choices is None and isinstance(response.get("error"), (dict, str)):
        return
    if isinstance(choices, list) and all(_is_choice(choice) for choice in choices):
        return
    raise BadInput(f"the response is neither a chat completion nor an error: {_shown(line)}.")


def _is_choice(choice: object) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else ""
    if message is None:
        return True
    calls = message.get("tool_calls") or [] if isinstance(message, dict) else ""
    return isinstance(calls, list) and all(
        isinstance(call, dict) and isinstance(call.get("function") or {}, dict) for call in calls
    )


def _status(row: JsonObject, response: JsonObject) -> int:
    meta = row.get("meta")
    status = meta.get("status") if isinstance(meta, dict) else None
    if isinstance(status, int) and 200 <= status <= 599:
        return status
    if "choices" in response:
        return 200
    error = response["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 500


def _shown(line: bytes) -> str:
    text = line.strip().decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
