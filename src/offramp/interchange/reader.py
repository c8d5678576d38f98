"""Files of recorded calls: JSON lines or one JSON document, plain or gzip, in any known format."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from offramp.core.errors import BadInput, NotFound
from offramp.core.json import digest
from offramp.dialect.codec import decode, encode
from offramp.interchange.formats import format_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offramp.core.call import Call
    from offramp.interchange.port import Format

STDIN = Path("-")
"""Stands for standard input among the files."""

_OURS = re.compile(r"[0-9a-f]{12}-[0-9a-f]{16}")
_SHOWN = 60
_DEEPEST = 500
_LEAVE_OUT = "--skip-broken leaves such lines out."
_ALLOWED = (
    'Allowed: {"request": {...}, "response": {...}}, {"messages": [..., the answer]}, OpenTelemetry GenAI '
    "spans, Langfuse and LiteLLM exports. "
)
_NAMED = 5
_GZIP = b"\x1f\x8b"
_BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError)


class Broken:
    """Lines that could not be read.

    Attributes:
        lines: How many.
        first: What was wrong with the first of them, "" where there is none.
        where: Where the first few of them stand: file and line.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.first = ""
        self.where: list[str] = []

    def add(self, message: str, where: str) -> None:
        """Count one."""
        self.lines += 1
        self.first = self.first or message
        if len(self.where) < _NAMED:
            self.where.append(where)


def read_calls(
    paths: Iterable[Path],
    *,
    wanted: Format | None = None,
    broken: Broken | None = None,
) -> Iterator[Call]:
    """Yield the calls of files as they stand there: raw, unmasked.

    Args:
        paths: The files; ``-`` is standard input.
        wanted: Their format; told from each row where not given.
        broken: Takes rows that cannot be read; where not given the first one is an error.

    Raises:
        NotFound: There is no such file.
        BadInput: A file is no JSON, or a row is no call: the message names file, line and content.
    """
    for path in paths:
        for number, line in _rows(path):
            try:
                yield from _calls(line, number, path, wanted)
            except BadInput as error:
                if broken is None:
                    raise
                broken.add(str(error), f"{_called(path)}, line {number}")


def _calls(line: bytes, number: int, path: Path, wanted: Format | None) -> list[Call]:
    try:
        row: Any = decode(line)
        if row is None:
            raise ValueError("not JSON")
        # Brackets that are not there cannot nest: most rows need no walk.
        if line.count(b"{") + line.count(b"[") >= _DEEPEST and _too_deep(row):
            raise BadInput(f"{_called(path)}, line {number} is nested too deeply.", hint=_LEAVE_OUT)
        found = wanted or format_of(row)
        if found is None:
            raise TypeError("no known format")
        # All of a row or nothing of it.
        calls = list(found.read(row, number))
        id_ = digest([_place(path), number, line.decode()], size=10)
        return [_identified(call, f"{id_}-{index}" if index else id_) for index, call in enumerate(calls)]
    except _BROKEN as error:
        raise BadInput(
            f"{_called(path)}, line {number} is no recorded call ({_why(error)}): {line[:_SHOWN]!r}.",
            hint=_ALLOWED + _LEAVE_OUT,
        ) from error


@lru_cache(maxsize=64)
def _place(path: Path) -> str:
    """The file's place, by which its rows are known again."""
    return str(path.resolve())


def _too_deep(row: Any) -> bool:
    """Whether a value is nested deeper than recursive code can follow."""
    level = [row]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return False
    return True


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (item for item in value.values() if isinstance(item, dict | list))
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict | list))


def _identified(call: Call, id_: str) -> Call:
    """Keep ids that offramp gave; others may come twice, or tell who asked."""
    return call if _OURS.fullmatch(call.id) else replace(call, id=id_)


def _rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, or the elements of the one array it holds."""
    with _opened(path) as file:
        try:
            first = next((line for line in file if line.strip()), b"")
            file.seek(0)
            if _is_document(first):
                yield from _elements(file.read(), path)
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(
                f"{_called(path)} breaks off: {error}.", hint="Copy it again; nothing was kept."
            ) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that can be read twice: what comes through a pipe is held in memory."""
    if path == STDIN:
        raw: IO[bytes] = io.BytesIO(sys.stdin.buffer.read())
    elif path.is_dir():
        raise NotFound(f"{path} is a folder.", hint=f"Give the files in it: {path}/*.jsonl")
    elif not path.exists():
        raise NotFound(f"There is no file {path}.", hint="Give files of recorded calls.")
    else:
        raw = path.open("rb") if path.is_file() else io.BytesIO(path.read_bytes())
    with raw:
        packed = raw.read(len(_GZIP)) == _GZIP or path.suffix == ".gz"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.open(raw) as unpacked:
            yield unpacked  # type: ignore[misc]  # a GzipFile reads, seeks and iterates as files do


def _called(path: Path) -> str:
    return "standard input" if path == STDIN else str(path)


def _is_document(first: bytes) -> bool:
    """Whether a file whose first line this is holds one JSON document over many lines, or an array."""
    start = first.strip()
    if start[:1] == b"[":
        return True
    return start in (b"{", b'{"resourceSpans":[', b'{"resourceSpans": [')


def _elements(document: bytes, path: Path) -> Iterator[tuple[int, bytes]]:
    value = decode(document)
    if value is None:
        # Arrays a line are broken lines, not one broken file.
        lines = [line for line in document.split(b"\n") if line.strip()]
        if len(lines) > 1 and document.lstrip()[:1] == b"[":
            yield from enumerate(lines, start=1)
            return
        raise BadInput(f"{_called(path)} is no JSON: {_fault_of(document)}.", hint="Export it again.")
    rows = value if isinstance(value, list) else [value]
    if not rows:
        yield 1, document
    for number, row in enumerate(rows, start=1):
        yield number, encode(row)


def _fault_of(document: bytes) -> str:
    try:
        json.loads(document)
    except (ValueError, RecursionError) as error:
        return str(error)
    return "it holds nothing"


def _why(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
