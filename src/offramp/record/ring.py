"""The file of shared memory between gateway and recorder: its layout, its counters, its key.

A header page, then blocks. The gateway fills one block after the other, any free one; the last record of a
block names the next. Positions count the bytes ever written and never fall; the header maps the two that
matter (head, tail) to places in the file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import struct
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from offramp.core.errors import StorageError, WrongKey
from offramp.record.exchange import FACTS
from offramp.record.ledger import START, Ledger, Stored, Taken

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 1 << 20
"""Bytes of a block."""
HEADER = START
RECORD = struct.Struct("<IIQQ")
"""Precedes every record: length, kind, sequence number, time of a clock that never jumps (ns)."""
FRAME, NEXT, SIDE = 1, 2, 3
"""Kinds of record: a sealed exchange, the number of the next block, a sealed exchange in a file beside."""
TAG = 16

_MAGIC = b"OFFRING1"
_IDENTITY = struct.Struct("<8sIIQ60s")
_TAKEN_TURN, _STORED_TURN = 16, 17
_DANGER, _SUSPECT, _DEATHS = 18, 19, 20
_TAKEN_AT, _STORED_AT = (256, 384), (512, 640)
_NAMES_AT, _RECORDER_AT, _GATEWAY_AT = 1024, 2048, 2560
_TEXT = struct.Struct("<H")
_TEXT_BYTES = {_NAMES_AT: 1022, _RECORDER_AT: 510, _GATEWAY_AT: 510}


class Ring:
    """A ring file, mapped.

    Args:
        path: The file.
        writable: False for whoever only looks at the counters.

    Raises:
        StorageError: It is no ring, it was cut short, or another version made it.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            self.blocks, self._wrapped, self.pid = self._identity()
            length = HEADER + self.blocks * BLOCK if writable else HEADER
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self.map = mmap.mmap(self.descriptor, length, access=access)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.view = memoryview(self.map)
        self._header = self.view[:HEADER]
        self._words = self._header.cast("Q")
        self.taken = Ledger(self._header, _TAKEN_TURN, _TAKEN_AT, Taken)
        self.stored = Ledger(self._header, _STORED_TURN, _STORED_AT, Stored)

    @classmethod
    def create(cls, path: Path, key: bytes, blocks: int) -> Self:
        """Make a ring at a path that must not exist; only the header has memory yet.

        Args:
            path: The file, made with mode 0600.
            key: Wraps the ring's own key, 32 bytes.
            blocks: How many blocks it may grow to.

        Raises:
            OSError: The file cannot be made, or there is no memory left for it.
        """
        nonce = secrets.token_bytes(12)
        wrapped = nonce + AESGCM(key).encrypt(nonce, secrets.token_bytes(32), _MAGIC)
        identity = _IDENTITY.pack(_MAGIC, blocks, BLOCK, os.getpid(), wrapped)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(descriptor, HEADER + blocks * BLOCK)
            reserve(descriptor, 0, HEADER)
            os.pwrite(descriptor, identity, 0)
        finally:
            os.close(descriptor)
        ring = cls(path)
        ring._put_text(_NAMES_AT, ",".join(FACTS))
        ring.taken.set(Taken())
        ring.stored.set(Stored())
        return ring

    def _identity(self) -> tuple[int, bytes, int]:
        raw = os.pread(self.descriptor, _IDENTITY.size, 0)
        if len(raw) < _IDENTITY.size or not raw.startswith(_MAGIC[:-1]):
            raise StorageError(f"{self.path} is no ring of offramp.", hint="Remove it.")
        magic, blocks, block, pid, wrapped = _IDENTITY.unpack(raw)
        if magic != _MAGIC or block != BLOCK:
            raise StorageError(
                f"Another version of offramp made {self.path}.", hint="Start that one once: it empties it."
            )
        if os.fstat(self.descriptor).st_size != HEADER + blocks * block:
            raise StorageError(f"{self.path} was cut short.", hint="Remove it.")
        return blocks, wrapped, pid

    def cipher(self, key: bytes) -> AESGCM:
        """Return what seals and opens its records.

        Raises:
            WrongKey: ``key`` does not open it.
        """
        try:
            return AESGCM(AESGCM(key).decrypt(self._wrapped[:12], self._wrapped[12:], _MAGIC))
        except (InvalidTag, ValueError) as error:
            raise WrongKey(
                f"The key does not open the ring {self.path}.", hint="Use the key of its home folder."
            ) from error

    @property
    def names(self) -> tuple[str, ...]:
        """The facts that its frames carry."""
        return tuple(self._text(_NAMES_AT).split(","))

    @property
    def recorder_error(self) -> str:
        """The recorder's last trouble, without a word of any call."""
        return self._text(_RECORDER_AT)

    @recorder_error.setter
    def recorder_error(self, text: str) -> None:
        self._put_text(_RECORDER_AT, text)

    @property
    def gateway_error(self) -> str:
        """The gateway's last trouble with the recorder."""
        return self._text(_GATEWAY_AT)

    @gateway_error.setter
    def gateway_error(self, text: str) -> None:
        self._put_text(_GATEWAY_AT, text)

    def enter(self, danger: int) -> None:
        """Note what the recorder is about to do, for the case that it is its last deed; 0 for nothing."""
        self._words[_DANGER] = danger

    def inquest(self) -> tuple[int, int]:
        """Return what the last recorder died of, and how many did; (0, 0) where none died at work."""
        danger = self._words[_DANGER]
        if danger:
            self._words[_DEATHS] = self._words[_DEATHS] + 1 if danger == self._words[_SUSPECT] else 1
            self._words[_SUSPECT] = danger
            self._words[_DANGER] = 0
        return self._words[_SUSPECT], self._words[_DEATHS]

    def oldest(self) -> int:
        """Return when the oldest unsettled record was put in (ns of the monotonic clock), 0 for none."""
        stored = self.stored.read()
        if self.taken.read().head <= stored.tail:
            return 0
        raw = os.pread(self.descriptor, RECORD.size, stored.place)
        if len(raw) < RECORD.size:
            return 0
        length, kind, _, since = RECORD.unpack(raw)
        if kind == NEXT:
            raw = os.pread(self.descriptor, RECORD.size, HEADER + length * BLOCK)
            since = RECORD.unpack(raw)[3] if len(raw) == RECORD.size else 0
        return since if self.stored.read().tail == stored.tail else 0

    def side(self, sequence: int) -> Path:
        """Return the file of a record that is too large for a block."""
        return self.path.with_name(f"{self.path.name}.side-{sequence}")

    def forget(self) -> None:
        """Take the blocks out of this process's memory, not out of the file; reading brings them back."""
        with contextlib.suppress(OSError):
            if hasattr(mmap, "MADV_DONTNEED"):
                self.map.madvise(mmap.MADV_DONTNEED, HEADER, self.blocks * BLOCK)

    def close(self) -> None:
        """Unmap and close the file, which gives up its lock; idempotent."""
        if self.descriptor < 0:
            return
        self.taken.release()
        self.stored.release()
        self._words.release()
        self._header.release()
        self.view.release()
        self.map.close()
        os.close(self.descriptor)
        self.descriptor = -1

    def _text(self, at: int) -> str:
        (size,) = _TEXT.unpack_from(self.view, at)
        start = at + _TEXT.size
        return bytes(self.view[start : start + min(size, _TEXT_BYTES[at])]).decode("utf-8", "replace")

    def _put_text(self, at: int, text: str) -> None:
        raw = text.encode("utf-8", "replace")[: _TEXT_BYTES[at]]
        self.view[at + _TEXT.size : at + _TEXT.size + len(raw)] = raw
        _TEXT.pack_into(self.view, at, len(raw))


def reserve(descriptor: int, start: int, length: int) -> None:
    """Give a part of a file memory, so that touching it later cannot fail.

    Raises:
        OSError: There is none left.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, length)
    else:
        os.pwrite(descriptor, bytes(length), start)


def give_back(memory: mmap.mmap, start: int, length: int) -> bool:
    """Free the memory behind a part of a mapped file, where the system can; tell whether it did."""
    with contextlib.suppress(OSError):
        if hasattr(mmap, "MADV_REMOVE"):
            memory.madvise(mmap.MADV_REMOVE, start, length)
            return True
    return False
