"""Segment files: a folder of them, and one that is open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, TypeVar

from offramp.core.errors import DiskFull, StorageError
from offramp.storage import frame
from offramp.storage.database import make_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")

_SUFFIX = ".seg"
_RESERVE = "reserve"
_RESERVE_BYTES = 1 << 20
_PLENTY = 2
_LOCK_WAIT_S = 0.005
_sync = getattr(os, "fdatasync", os.fsync)


class Segment:
    """One open segment file.

    Only who holds its lock may change its length; bytes that are there may be overwritten by whoever
    holds the folder's.

    Args:
        path: The file.
        descriptor: Opened for reading and writing; closed with the segment.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.number = int(path.stem)
        self._descriptor = descriptor

    def lock(self) -> bool:
        """Take the lock, False where another has it or the file is no longer in the folder."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if os.fstat(self._descriptor).st_nlink:
            return True
        self.unlock()
        return False

    def unlock(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(self._descriptor).st_size

    def header(self) -> frame.Header | None:
        """Read its header, None where it is damaged."""
        return frame.Header.decode(os.pread(self._descriptor, frame.HEADER_BYTES, 0))

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes; fewer where the file ends before."""
        return os.pread(self._descriptor, length, offset)

    def write(self, offset: int, raw: bytes) -> None:
        """Write all of some bytes."""
        left = memoryview(raw)
        while left:
            done = os.pwrite(self._descriptor, left, offset)
            left, offset = left[done:], offset + done

    def erase(self, offset: int, length: int) -> None:
        """Overwrite a record, never beyond the file's end."""
        length = min(length, self.size - offset)
        if length >= frame.FRAME_BYTES:
            self.write(offset, frame.erased(length))
        elif length > 0:
            self.write(offset, bytes(length))

    def cut(self, size: int) -> None:
        """Shorten the file."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        _sync(self._descriptor)

    def unlink(self) -> None:
        """Take it out of the folder."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Close it, which gives the lock back; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Segment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SegmentFolder:
    """The folder of a store's segments.

    Args:
        path: The folder, created with mode 0700 where it is absent.
        store: The store's id, 16 bytes; a file of another store is left alone.
        busy_s: Longest wait in seconds for another process's upkeep.
    """

    def __init__(self, path: Path, store: bytes, *, busy_s: float) -> None:
        self.path = path
        self.store = store
        self._busy_s = busy_s
        if not path.is_dir():
            make_folder(path)
            sync_folder(path.parent)

    def numbers(self) -> list[int]:
        """Return the numbers of the files that are there, in order."""
        return sorted(
            int(path.stem) for path in self.path.iterdir() if path.suffix == _SUFFIX and path.stem.isdigit()
        )

    def sizes(self) -> dict[int, int]:
        """Return the files' lengths in bytes by number."""
        found = {}
        for number in self.numbers():
            with contextlib.suppress(FileNotFoundError):
                found[number] = self.file(number).stat().st_size
        return found

    def file(self, number: int) -> Path:
        """Return the path of a segment."""
        return self.path / f"{number:012d}{_SUFFIX}"

    def open(self, number: int) -> Segment | None:
        """Open a segment, None where its file is not there."""
        path = self.file(number)
        try:
            return Segment(path, os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            return None

    def lock(self, number: int) -> Segment | None:
        """Open and lock a segment, None where it is not there or another has it."""
        segment = self.open(number)
        if segment is None or segment.lock():
            return segment
        segment.close()
        return None

    def create(self, kind: int, after: int) -> Segment:
        """Create a segment with a number above ``after`` and above all that are there, locked and on disk."""
        number = max([after, *self.numbers()]) + 1
        while True:
            path = self.file(number)
            with contextlib.suppress(FileExistsError):
                opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                segment = Segment(path, opened)
                if segment.lock():
                    return self._begun(segment, kind)
                segment.close()
            number += 1

    def _begun(self, segment: Segment, kind: int) -> Segment:
        try:
            segment.write(0, frame.Header(kind, segment.number, self.store).encode())
            segment.sync()
            sync_folder(self.path)
        except BaseException:
            segment.path.unlink(missing_ok=True)
            segment.close()
            raise
        return segment

    def keep_reserve(self) -> None:
        """Set some space aside where there is plenty: a full disk must not prevent what makes room."""
        path = self.path / _RESERVE
        disk = os.statvfs(self.path)
        if path.exists() or disk.f_bavail * disk.f_frsize < _PLENTY * _RESERVE_BYTES:
            return
        with contextlib.suppress(OSError):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(opened, bytes(_RESERVE_BYTES), 0)
            finally:
                os.close(opened)

    def spending_reserve(self, work: Callable[[], T]) -> T:
        """Do something, and once more with the reserve given up where the disk is full."""
        try:
            return work()
        except DiskFull:
            reserve = self.path / _RESERVE
            if not reserve.exists():
                raise
            reserve.unlink(missing_ok=True)
        return work()

    @contextlib.contextmanager
    def upkeep(self, *, wait: bool = True) -> Iterator[bool]:
        """Keep every other process from removing, moving or rotating.

        Args:
            wait: Wait for another that does so; without it, False is yielded.

        Raises:
            StorageError: Another did so for too long.
        """
        opened = os.open(self.path / "upkeep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            held = self._take(opened, time.monotonic() + (self._busy_s if wait else 0.0))
            if wait and not held:
                raise StorageError(
                    f"Another process has been at the upkeep of {self.path} for longer than "
                    f"{self._busy_s:g} s.",
                    hint="Try again when it is done.",
                )
            yield held
        finally:
            os.close(opened)

    def _take(self, descriptor: int, deadline: float) -> bool:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_LOCK_WAIT_S)
            else:
                return True
