"""A search of files for many byte strings at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import re2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_CHUNK = 4 << 20
_AT_ONCE = 500
_MEMORY = 256 << 20


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that holds what it must not.

    Attributes:
        path: The file.
        what: The kind of thing it holds.
    """

    path: str
    what: str


def search_files(places: Iterable[Path], needles: Mapping[bytes, str]) -> tuple[list[Hit], int, int]:
    """Look for byte strings in every file under some folders.

    Args:
        places: Folders, or files; absent ones are passed over.
        needles: What to look for, with what to call it.

    Returns:
        What was found, the number of files and of bytes searched.
    """
    patterns = list(_patterns(needles))
    overlap = max(map(len, needles), default=1) - 1
    hits: list[Hit] = []
    files = size = 0
    for path in _files(places):
        found: set[str] = set()
        for chunk in _chunks(path, overlap):
            size += len(chunk)
            for pattern in patterns:
                found |= {needles[match.group()] for match in pattern.finditer(chunk)}
        hits += [Hit(str(path), what) for what in sorted(found)]
        files += 1
    return hits, files, size


def _patterns(needles: Iterable[bytes]) -> Iterator[Any]:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    rest = iter(sorted(needles, key=len, reverse=True))
    while some := list(islice(rest, _AT_ONCE)):
        yield re2.compile(b"|".join(map(re2.escape, some)), options)


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        elif place.is_file():
            yield place


def _chunks(path: Path, overlap: int) -> Iterator[bytes]:
    """Read a file piece by piece, so that nothing is cut between two; one that is gone by now is empty."""
    try:
        with path.open("rb") as file:
            kept = b""
            while piece := file.read(_CHUNK):
                yield kept + piece
                kept = (kept + piece)[-overlap:] if overlap else b""
    except FileNotFoundError:
        return
