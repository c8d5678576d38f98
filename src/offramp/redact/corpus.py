"""Labelled texts for training and measuring, split so that a template is in one part only."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offramp.core.errors import BadInput
from offramp.redact.recogniser import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TEST_SHARE = 0.3
_SALT = "388"
"""The first of 0, 1, ... that puts 15 to 55 % of every type but driver licences (one template) in the test
part; chosen by counts of labels, before anything was trained."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with its labels.

    Attributes:
        text: The text.
        spans: Labels as the source names them, in order.
        group: The template that it and others were made from.
    """

    text: str
    spans: tuple[Span, ...]
    group: str

    @property
    def held_out(self) -> bool:
        """Whether its template belongs to the test part: a property of the template alone."""
        drawn = int.from_bytes(hashlib.blake2b(f"{_SALT}:{self.group}".encode(), digest_size=8).digest())
        return drawn / 2**64 < TEST_SHARE


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read JSON lines, gzipped.

    Raises:
        BadInput: The file is not there or holds something else.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not a file of gzipped JSON lines: {error}.") from error


def read_labelled(folder: Path) -> list[Labelled]:
    """Read every ``presidio_*.jsonl.gz`` of a folder.

    Rows of one template number belong together, and so do rows that are equal but for the labelled values,
    whatever file they are in.

    Raises:
        BadInput: There is none, or one cannot be read.
    """
    paths = sorted(folder.glob("presidio_*.jsonl.gz"))
    if not paths:
        raise BadInput(
            f"{folder} holds no presidio_*.jsonl.gz.", hint="Name the folder of the labelled sets."
        )
    rows = [(path.name, row) for path in paths for row in read_rows(path)]
    skeletons = [_skeleton(row) for _, row in rows]
    groups = _Groups()
    for (name, row), skeleton in zip(rows, skeletons, strict=True):
        groups.join(row.get("group") or f"{name}:{row['template']}", skeleton)
    return [
        Labelled(row["text"], tuple(_spans(row["spans"])), groups.name(skeleton))
        for (_, row), skeleton in zip(rows, skeletons, strict=True)
    ]


def _spans(listed: Iterable[dict[str, Any]]) -> list[Span]:
    return sorted(Span(span["start"], span["end"], span["type"]) for span in listed)


def _skeleton(row: dict[str, Any]) -> str:
    """Return the text without the labelled values, and without what differs between copies of a template."""
    parts = []
    at = 0
    for span in _spans(row["spans"]):
        parts.append(row["text"][at : span.start])
        at = max(at, span.end)
    parts.append(row["text"][at:])
    return re.sub(r"[\W\d_]+", " ", "\0".join(parts).lower()).strip() or row["text"].lower()


class _Groups:
    """Names joined directly or through others have the same least name."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def name(self, key: str) -> str:
        while self._parent.setdefault(key, key) != key:
            key = self._parent[key]
        return key

    def join(self, one: str, other: str) -> None:
        least, most = sorted((self.name(one), self.name(other)))
        self._parent[most] = least
