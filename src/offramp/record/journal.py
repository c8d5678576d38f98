"""The gateway's end of the ring: exchanges go in sealed, without a system call and without waiting."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING

from offramp.record.exchange import encode
from offramp.record.folder import Claim, create_ring
from offramp.record.ring import BLOCK, FRAME, HEADER, NEXT, RECORD, SIDE, TAG, Ring, give_back, reserve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.record.exchange import Exchange
    from offramp.record.ledger import Stored, Taken

_log = logging.getLogger("offramp.record")

_NONCE = 12
SIDE_NONCE = 1 << 95
"""Set in the nonces of side files: no two uses of the ring's key share one."""
_PAD = RECORD.size + TAG + 7
_LARGEST = BLOCK - 2 * RECORD.size - TAG - 7
_QUIET_S = 5.0
"""Shortest time between two warnings: a ring may turn full and not full many times a second."""
_SPARE = 2
"""Free blocks that keep their memory."""


class Journal:
    """Appends exchanges to a ring; for one thread of one process, which must not fork and go on appending.

    Args:
        ring: A fresh ring.
        key: Opens the ring's own key.
        side_bytes: Most bytes held in files beside the ring; twice the ring's size by default.

    Raises:
        WrongKey: The key does not open the ring.
    """

    def __init__(self, ring: Ring, key: bytes, *, side_bytes: int | None = None) -> None:
        self.ring = ring
        self._cipher = ring.cipher(key)
        self._view = ring.view
        self._ledger = ring.taken
        self._largest_side = 2 * ring.blocks * BLOCK if side_bytes is None else side_bytes
        self._sequence = 0
        self._head, self._place, self._limit = 0, HEADER, HEADER
        self._calls = self._size = self._refused = self._dropped = self._dropped_bytes = 0
        self._side_bytes = self._restarts = self._closed = self._down = 0
        self._block = 0
        self._free = list(range(1, ring.blocks))
        self._filled: deque[tuple[int, int]] = deque()
        self._backed: set[int] = set()
        self._full = False
        self._seen = 0
        self._quiet_until = 0.0
        self._begin()

    def _begin(self) -> None:
        """Take the first block; the reader starts there."""
        reserve(self.ring.descriptor, HEADER, BLOCK)
        self._backed.add(0)
        self._limit = HEADER + BLOCK - RECORD.size

    @classmethod
    def create(cls, folders: Sequence[Path], key: bytes, *, size: int = 32 << 20) -> Journal:
        """Make a ring in the first of the folders that takes one.

        Args:
            folders: Where it may be, the best first.
            key: Wraps the ring's own key, 32 bytes.
            size: Most bytes it holds.

        Raises:
            StorageError: None of the folders takes one.
        """
        return create_ring(folders, key, max(2, size // BLOCK), lambda ring: cls(ring, key))

    def put(self, exchange: Exchange) -> bool:
        """Take an exchange; returns at once and never raises.

        Returns:
            Whether it was taken; if not, it is counted.
        """
        if self._full and self._is_hopeless(exchange.size):
            self._drop(exchange.size)
            return False
        try:
            taken = self._append(encode(exchange))
        except Exception as error:  # noqa: BLE001 - recording trouble must never reach the traffic
            # Its class only: the message could quote the exchange.
            _log.error("An exchange could not be taken (%s)", type(error).__name__)
            self._calls += 1
            self._refused += 1
            self._write()
            return False
        if not taken:
            self._drop(exchange.size)
        elif self._full:
            self._full = False
            if time.monotonic() >= self._quiet_until:
                _log.warning("Recording goes on; %d calls were dropped so far", self._dropped)
        return taken

    def _is_hopeless(self, size: int) -> bool:
        """Whether an exchange cannot fit: the block at hand is too full, and no other came free meanwhile.

        Where more is asked than the recorder can write, a call that is dropped should cost next to nothing.
        """
        return (
            size < _LARGEST // 2
            and self._place + size + _PAD > self._limit
            and self.ring.stored.turn == self._seen
        )

    def _append(self, frame: bytes) -> bool:
        size = len(frame)
        if size > _LARGEST:
            return self._append_beside(frame)
        self._sequence = sequence = self._sequence + 1
        return self._write_record(FRAME, sequence, frame, size)

    def _write_record(self, kind: int, sequence: int, frame: bytes, size: int) -> bool:
        place, head = self._place, self._head
        room = (size + _PAD) & ~7
        if place + room > self._limit:
            if not self._turn():
                return False
            place, head = self._place, self._head
        self._cipher.encrypt_into(
            sequence.to_bytes(_NONCE, "little"),
            frame,
            None,
            self._view[place + RECORD.size : place + RECORD.size + size + TAG],
        )
        RECORD.pack_into(self._view, place, size + TAG, kind, sequence, time.monotonic_ns())
        self._head, self._place = head + room, place + room
        self._calls += 1
        self._size += size
        self._write()
        return True

    def _write(self) -> None:
        self._ledger.write(
            self._head,
            self._place,
            self._calls,
            self._size,
            self._refused,
            self._dropped,
            self._dropped_bytes,
            self._side_bytes,
            self._restarts,
            self._closed,
            self._down,
        )

    def _turn(self) -> bool:
        """Go on in another block; False where none is free."""
        block = self._free_block()
        if block is None:
            return False
        # Seen by nobody before the record that follows it is.
        RECORD.pack_into(self._view, self._place, block, NEXT, 0, 0)
        self._head += RECORD.size
        self._filled.append((self._head, self._block))
        self._block = block
        self._place = HEADER + block * BLOCK
        self._limit = self._place + BLOCK - RECORD.size
        return True

    def _free_block(self) -> int | None:
        """Return the lowest free block that has memory, or gets it."""
        # Read first: what the recorder gives up from here on is another turn.
        self._seen = self.ring.stored.turn
        self._reclaim()
        for block in sorted(self._free):
            if block in self._backed or self._back(block):
                self._free.remove(block)
                return block
        return None

    def _reclaim(self) -> None:
        """Free the blocks that the recorder has left behind."""
        tail = self.ring.stored.read().tail
        while self._filled and self._filled[0][0] <= tail:
            self._free.append(self._filled.popleft()[1])

    def _back(self, block: int) -> bool:
        try:
            reserve(self.ring.descriptor, HEADER + block * BLOCK, BLOCK)
        except OSError:
            return False
        self._backed.add(block)
        return True

    def _append_beside(self, frame: bytes) -> bool:
        """Put a large exchange into a sealed file of its own; the ring names it."""
        held = self._side_bytes - self.ring.stored.read().side_bytes
        if held + len(frame) > self._largest_side:
            return False
        self._sequence = sequence = self._sequence + 1
        path = self.ring.side(sequence)
        nonce = (SIDE_NONCE | sequence).to_bytes(_NONCE, "little")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._cipher.encrypt(nonce, frame, None))
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            return False
        reference = len(frame).to_bytes(8, "little")
        self._side_bytes += len(frame)
        if self._write_record(SIDE, sequence, reference, len(reference)):
            return True
        self._side_bytes -= len(frame)
        path.unlink()
        return False

    def _drop(self, size: int) -> None:
        if not self._full:
            self._full = True
            now = time.monotonic()
            if now >= self._quiet_until:
                _log.warning("Calls go unrecorded: the ring is full, the recorder is behind")
                self._quiet_until = now + _QUIET_S
        self._dropped += 1
        self._dropped_bytes += size
        self._write()

    def trim(self) -> None:
        """Give memory of free blocks back that only a backlog needed."""
        self._reclaim()
        for block in sorted(self._backed.intersection(self._free))[_SPARE:]:
            # Reserved again before it is used again: a full memory costs a counted call, not the process.
            if give_back(self.ring.map, HEADER + block * BLOCK, BLOCK):
                self._backed.discard(block)

    def note(self, *, restarts: int, down: bool, error: str = "") -> None:
        """Tell whoever looks how the recorder is doing."""
        self._restarts, self._down = restarts, int(down)
        if error:
            self.ring.gateway_error = error
        self._write()

    def end(self) -> None:
        """Say that nothing more comes; what comes all the same is dropped."""
        self._closed = 1
        self._write()

    def counts(self) -> tuple[Taken, Stored]:
        """Return what was put in and what was done with it."""
        return self._ledger.read(), self.ring.stored.read()

    def discard(self) -> None:
        """Remove a ring that nothing was put into."""
        if claim := Claim.take(self.ring.path):
            claim.remove()
        self.ring.close()

    def close(self) -> None:
        """Let go of the ring; what it holds stays for the recorder."""
        self.ring.close()
