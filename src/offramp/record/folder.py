"""Where rings are, who holds them, and which were left behind."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from offramp.core.errors import StorageError
from offramp.record.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = logging.getLogger("offramp.record")
_Made = TypeVar("_Made")

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is ours alone, which is checked
_PREFIX = "ring-"
_READER = ".reader"
_DRAFT = ".draft"
_STALE_S = 60.0


def ring_folders(home: Path, chosen: str = "") -> tuple[Path, ...]:
    """Return the folders that may hold the rings of a home, the best first.

    Args:
        home: The home folder; the last resort, where a ring is sealed as everywhere else, but not memory.
        chosen: A folder to use instead of one in shared memory.
    """
    if chosen:
        return (Path(chosen), home / "ring")
    if not _MEMORY.is_dir():
        return (home / "ring",)
    digest = hashlib.blake2b(os.fsencode(home.resolve()), digest_size=8).hexdigest()
    return (_MEMORY / f"offramp-{os.geteuid()}-{digest}", home / "ring")


def create_ring(folders: Sequence[Path], key: bytes, blocks: int, make: Callable[[Ring], _Made]) -> _Made:
    """Make a ring in the first folder that takes one, and hold it for as long as this process lives.

    Args:
        folders: Made with mode 0700 where they are absent.
        key: Wraps the ring's own key.
        blocks: Its size.
        make: Makes of the ring what is returned; an OSError sends it on to the next folder.

    Raises:
        StorageError: None takes one.
    """
    reasons = []
    for folder in folders:
        try:
            with contextlib.suppress(FileNotFoundError):
                return _create_in(folder, key, blocks, make)
            # The last reader removed the empty folder at that moment.
            return _create_in(folder, key, blocks, make)
        except (OSError, StorageError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            reasons.append(f"{folder}: {reason}")
            _log.warning("No ring in %s: %s", folder, reason)
    raise StorageError(
        f"There is no room for the ring ({'; '.join(reasons)}).",
        hint="Set record.ring_folder to a folder of your own, or record.ring_mb lower.",
    )


def _create_in(folder: Path, key: bytes, blocks: int, make: Callable[[Ring], _Made]) -> _Made:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _check_private(folder)
    path = folder / f"{_PREFIX}{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(4)}"
    draft = path.with_name(path.name + _DRAFT)
    try:
        ring = Ring.create(draft, key, blocks)
        try:
            fcntl.flock(ring.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
            ring.path = path
            return make(ring)
        except BaseException:
            ring.close()
            raise
    except BaseException:
        for left in (draft, path):
            with contextlib.suppress(OSError):
                left.unlink()
        raise


def _check_private(folder: Path) -> None:
    """Refuse a folder that others made, or can look into.

    Raises:
        StorageError: It is not ours alone.
    """
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise StorageError(f"{folder} is open to others, or theirs.", hint="Remove it, or chmod 700.")


def rings(folders: Sequence[Path]) -> list[Path]:
    """Return the ring files in these folders that are ours alone, the oldest first."""
    found = []
    for folder in folders:
        with contextlib.suppress(OSError, StorageError):
            _check_private(folder)
            found += [path for path in folder.iterdir() if path.name.startswith(_PREFIX) and not path.suffix]
    return sorted(found, key=lambda path: path.name)


def abandoned(path: Path) -> bool:
    """Whether the gateway that filled a ring is gone."""
    return not _held(path)


def _held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


class Claim:
    """The right to read a ring and to remove it; it ends with the process that has it.

    Args:
        path: The ring.
        descriptor: Of the locked file beside it.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Claim | None:
        """Claim a ring; None where another process has it, or it is gone."""
        beside = path.with_name(path.name + _READER)
        try:
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return None
        claim = cls(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            claim.release()
            return None
        if not path.exists():
            claim.remove()
            return None
        return claim

    def remove(self) -> None:
        """Remove the ring and what lies beside it, and let go."""
        # The claim's own file last: without the ring it means nothing to anybody.
        for left in (self.path, *self.path.parent.glob(f"{self.path.name}.side-*")):
            left.unlink(missing_ok=True)
        self.path.with_name(self.path.name + _READER).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()
        self.release()

    def release(self) -> None:
        """Let go of the ring; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sweep(folders: Sequence[Path]) -> None:
    """Remove what processes left that died while they made or removed a ring."""
    for folder in folders:
        with contextlib.suppress(OSError, StorageError):
            _check_private(folder)
            for path in folder.glob(f"{_PREFIX}*.*"):
                whole = path.with_suffix("")
                if not whole.exists() and time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink(missing_ok=True)
