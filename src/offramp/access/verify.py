"""Checks an audit log, link by link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.access.audit import Entry, Head, hash_of, read_line

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        line: Number of the line, from 1; 0 for the file as a whole.
        what: What is wrong with it.
    """

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking a log found.

    Attributes:
        entries: The entries whose seal holds, in the order of the file.
        faults: What is wrong; none in a log that nobody touched.
        head: Number and hash of the last entry: noted elsewhere, they show a log and store that were both
            put back to an earlier state.
    """

    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]
    head: Head

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def check(path: Path, secret: bytes, known: Head) -> Checked:
    """Read a log and check every seal, every link and the end.

    Args:
        path: The log.
        secret: Key of the seals.
        known: What the store knows of the last entry.
    """
    raw = path.read_bytes() if path.exists() else b""
    faults: list[Fault] = []
    entries: list[Entry] = []
    lines = raw.split(b"\n")
    if lines.pop():
        faults.append(
            Fault(
                len(lines) + 1,
                "is unfinished: a process died while it wrote (the next entry mends that), or it was altered",
            )
        )
    head, met = Head(), known.seq == 0
    for number, line in enumerate(lines, start=1):
        entry = read_line(line)
        if entry is None or entry.sealed(secret) != entry:
            faults.append(Fault(number, "was altered, or is none of ours: its seal does not hold"))
            continue
        if broken := _link(entry, head):
            faults.append(Fault(number, broken))
        entries.append(entry)
        head = Head(entry.seq, hash_of(line))
        met = met or head == known
    if not met:
        faults.append(Fault(0, _end(known, head)))
    return Checked(tuple(entries), tuple(faults), head)


def _link(entry: Entry, before: Head) -> str:
    """Say what is wrong between two entries, "" where the second follows the first."""
    if entry.seq > before.seq + 1:
        return f"entries {before.seq + 1} to {entry.seq - 1} are missing before it"
    if entry.seq <= before.seq:
        return f"entry {entry.seq} comes after entry {before.seq}: copied, or moved"
    return "" if entry.previous == before.hash else f"does not follow entry {before.seq} as it stands here"


def _end(known: Head, last: Head) -> str:
    if last.seq < known.seq:
        return f"ends with entry {last.seq}, but {known.seq} were written: the end is missing"
    return f"holds another entry {known.seq} than was written"
