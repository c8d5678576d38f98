"""The counters in a ring's first page: each side's change as one, whoever is killed meanwhile."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

START = 4096
"""Where a ring's first record is: behind the page of the counters."""
_READS = 10_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What the gateway has put in.

    Attributes:
        head: Position after the last whole record.
        place: Where in the file that is.
        calls: Exchanges taken in.
        size: Their bytes.
        refused: Exchanges that could not be encoded; lost.
        dropped: Exchanges that found no room; lost.
        dropped_bytes: Their bytes.
        side_bytes: Bytes of the files beside the ring, ever.
        restarts: How often the recorder was started again.
        closed: 1 where nothing more comes.
        down: 1 while no recorder runs.
    """

    head: int = 0
    place: int = START
    calls: int = 0
    size: int = 0
    refused: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    side_bytes: int = 0
    restarts: int = 0
    closed: int = 0
    down: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the recorder has done.

    Attributes:
        tail: Position after the last record that is settled.
        place: Where in the file that is.
        written: Exchanges stored.
        failed: Exchanges lost: unreadable, or they end the process.
        side_bytes: Bytes of the files beside the ring that were settled.
        stalled: 1 while the store takes nothing.
        earlier_dropped: Exchanges dropped by earlier rings of this home.
        earlier_failed: Exchanges lost by earlier rings of this home.
        beat: When the recorder last looked (ns of the clock that never jumps).
    """

    tail: int = 0
    place: int = START
    written: int = 0
    failed: int = 0
    side_bytes: int = 0
    stalled: int = 0
    earlier_dropped: int = 0
    earlier_failed: int = 0
    beat: int = 0


_State = TypeVar("_State", Taken, Stored)


class Ledger(Generic[_State]):
    """Counters that change as one; one process writes them, any may read.

    They are written into the copy that is not current, and then one store of eight bytes turns to it:
    whoever is killed in between has changed nothing.

    Args:
        view: The header page.
        turn: Index of the word (8 bytes) that says which copy is current.
        places: Offsets of the two copies.
        kind: What they are read as.
    """

    __slots__ = ("_kind", "_places", "_struct", "_turn", "_values", "_view", "_words", "_writes")

    def __init__(self, view: memoryview, turn: int, places: tuple[int, int], kind: type[_State]) -> None:
        self._view = view
        self._words = view.cast("Q")
        self._turn = turn
        self._places = places
        self._kind: Callable[..., _State] = kind
        names = [field.name for field in fields(kind)]
        self._values: Callable[[_State], tuple[int, ...]] = attrgetter(*names)
        self._struct = struct.Struct(f"<{len(names)}Q")
        self._writes = self._words[turn]

    def write(self, *values: int) -> None:
        """Replace all counters, in the order of the fields."""
        self._writes = turn = self._writes + 1
        self._struct.pack_into(self._view, self._places[turn & 1], *values)
        self._words[self._turn] = turn

    def set(self, state: _State) -> None:
        """Replace all counters."""
        self.write(*self._values(state))

    @property
    def turn(self) -> int:
        """Number of the last change: where it is the same, so is everything else."""
        return self._words[self._turn]

    def read(self) -> _State:
        """Return the counters as they were at one moment."""
        turn = self._words[self._turn]
        for _ in range(_READS):
            values = self._struct.unpack_from(self._view, self._places[turn & 1])
            now = self._words[self._turn]
            if now == turn:
                break
            turn = now
        return self._kind(*values)

    def release(self) -> None:
        """Let go of the memory."""
        self._words.release()
