"""The recorder's end of the ring: what is in it, in order, and what of it is settled."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from offramp.record.journal import SIDE_NONCE
from offramp.record.ring import BLOCK, FRAME, HEADER, NEXT, RECORD, SIDE, TAG

if TYPE_CHECKING:
    from offramp.record.ring import Ring

_NONCE = 12
_LOOKS = 5
_LOOK_S = 0.001


@dataclass(frozen=True, slots=True)
class Record:
    """One exchange of the ring.

    Attributes:
        position: Where it begins, in bytes ever written.
        end: Where it ends.
        place: Where in the file that is.
        since: When it was put in (ns of the monotonic clock).
        frame: The exchange; None where it cannot be read.
        sequence: Its number, where it has a file beside the ring; else 0.
        side_bytes: The size of that file's frame.
        calls: Exchanges that it stands for: more than one where the ring is broken up to its head.
    """

    position: int
    end: int
    place: int
    since: int
    frame: bytes | None
    sequence: int = 0
    side_bytes: int = 0
    calls: int = 1


class Backlog:
    """Reads a ring from where its last reader had got to.

    Args:
        ring: The ring; only one process reads it (:class:`offramp.record.folder.Claim`).
        key: Opens the ring's own key.

    Raises:
        WrongKey: It does not.
    """

    def __init__(self, ring: Ring, key: bytes) -> None:
        self.ring = ring
        self._cipher = ring.cipher(key)
        stored = ring.stored.read()
        self._position, self._place = stored.tail, stored.place
        self._calls = stored.written + stored.failed

    @property
    def empty(self) -> bool:
        """Whether everything in the ring was read."""
        return self._position >= self.ring.taken.read().head

    def next(self) -> Record | None:
        """Read on; None where there is nothing yet."""
        head = self.ring.taken.read().head
        while self._position < head:
            length, kind, sequence, since = RECORD.unpack_from(self.ring.view, self._place)
            if not self._plausible(length, kind):
                return self._give_up()
            if kind != NEXT:
                return self._record(length, kind, sequence, since)
            self._position += RECORD.size
            self._place = HEADER + length * BLOCK
        return None

    def _plausible(self, length: int, kind: int) -> bool:
        if kind == NEXT:
            return length < self.ring.blocks
        left = BLOCK - (self._place - HEADER) % BLOCK
        return kind in (FRAME, SIDE) and TAG <= length <= left - 2 * RECORD.size

    def _record(self, length: int, kind: int, sequence: int, since: int) -> Record:
        room = (RECORD.size + length + 7) & ~7
        plain = self._opened(length, sequence)
        frame, side_bytes = plain, 0
        if kind == SIDE and plain is not None:
            side_bytes = int.from_bytes(plain, "little")
            frame = self._beside(sequence)
        position, end, place = self._position, self._position + room, self._place + room
        self._position, self._place = end, place
        self._calls += 1
        return Record(position, end, place, since, frame, sequence if side_bytes else 0, side_bytes)

    def _opened(self, length: int, sequence: int) -> bytes | None:
        nonce = sequence.to_bytes(_NONCE, "little")
        start = self._place + RECORD.size
        for look in range(_LOOKS):
            if look:
                # Another processor's writes may arrive out of order: the tag tells, and a moment mends it.
                time.sleep(_LOOK_S)
            with contextlib.suppress(InvalidTag):
                return self._cipher.decrypt(nonce, self.ring.view[start : start + length], None)
        return None

    def _beside(self, sequence: int) -> bytes | None:
        nonce = (SIDE_NONCE | sequence).to_bytes(_NONCE, "little")
        try:
            return self._cipher.decrypt(nonce, self.ring.side(sequence).read_bytes(), None)
        except (OSError, InvalidTag, ValueError):
            return None

    def _give_up(self) -> Record:
        """Step over everything up to the head: without a length there is no next record."""
        taken = self.ring.taken.read()
        position = self._position
        # What could not be encoded was never in the ring.
        lost = max(1, taken.calls - taken.refused - self._calls)
        self._position, self._place = taken.head, taken.place
        self._calls += lost
        return Record(position, taken.head, taken.place, 0, None, calls=lost)
