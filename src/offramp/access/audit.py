"""The audit log: who read or changed what, in a chain that shows where a link is missing or was bent.

Each entry is a line of JSON in a file: it holds the hash of the line before and a seal (HMAC-SHA-256) that
only the holder of the store's secret can make. The store keeps the number and hash of the last line, so that
a cut at the end is seen too. An entry that was lost is never papered over: the next one goes on from what the
store knows, and the gap stays visible.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import pwd
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.clock import Clock, SystemClock
from offramp.core.errors import StorageError
from offramp.core.json import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from offramp.storage.port import Store

FILE = "audit.log"
HEAD, LAST = "audit_log", "head"
"""Kind and key of the document that knows the last entry."""
_TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        seq: Number, from 1.
        at: Seconds since the epoch.
        who: User of the operating system, or id of a key.
        action: What was done: an action of `offramp.access.roles`, or a word like it.
        what: To what, and what for.
        count: How many calls, keys or the like it concerned.
        ids: Keyed digest of their ids, "" where there are none; tells whether two lists are the same.
        previous: SHA-256 of the line before, "" for the first.
        seal: HMAC-SHA-256 of all of the above.
    """

    seq: int
    at: float
    who: str
    action: str
    what: str
    count: int
    ids: str
    previous: str
    seal: str = ""

    def sealed(self, secret: bytes) -> Entry:
        """Return the entry with its seal."""
        content = canonical(asdict(replace(self, seal="")))
        return replace(self, seal=hmac.digest(secret, content.encode(), hashlib.sha256).hex())

    def line(self) -> bytes:
        """Render as a line, without its end."""
        return canonical(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Head:
    """What the store knows of the last entry: its number and the hash of its line."""

    seq: int = 0
    hash: str = ""


def read_line(line: bytes) -> Entry | None:
    """Read a line; None where it is not exactly as it would have been written."""
    try:
        entry = Entry(**json.loads(line))
        return entry if entry.line() == line else None
    except (TypeError, ValueError, RecursionError):
        return None


def hash_of(line: bytes) -> str:
    """Return the hash that the next line holds."""
    return hashlib.sha256(line).hexdigest()


def head_of(store: Store) -> Head:
    """Read what the store knows of the last entry."""
    value = store.get(HEAD, LAST)
    return Head(int(value["seq"]), str(value["hash"])) if value else Head()


class AuditLog:
    """Appends to the log of one installation; any number of threads and processes may at once.

    Args:
        path: The log; created with mode 0600.
        secret: Key of the seals, used for nothing else.
        store: Keeps the head.
        who: Who acts: the user of the operating system by default.
        clock: Time of the entries.
    """

    def __init__(
        self, path: Path, secret: bytes, store: Store, *, who: str = "", clock: Clock | None = None
    ) -> None:
        self.path = path
        self._secret = secret
        self._store = store
        self._who = who or system_user()
        self._clock = clock or SystemClock()

    def write(
        self, action: str, what: str = "", *, count: int = 0, ids: Iterable[str] = (), who: str = ""
    ) -> Entry:
        """Append an entry; it is on the disk when this returns.

        Raises:
            StorageError: It could not be written; what it stands for must not happen then.
        """
        marked = self._digest(ids)
        with self._locked() as descriptor:
            head = self._head(descriptor)
            draft = Entry(
                seq=head.seq + 1,
                at=self._clock.now(),
                who=who or self._who,
                action=action,
                what=what,
                count=count,
                ids=marked,
                previous=head.hash,
            )
            entry = draft.sealed(self._secret)
            line = entry.line()
            os.write(descriptor, line + b"\n")
            os.fsync(descriptor)
            self._store.put(HEAD, LAST, {"seq": entry.seq, "hash": hash_of(line)})
        return entry

    def _digest(self, ids: Iterable[str]) -> str:
        listed = sorted(ids)
        if not listed:
            return ""
        return hmac.digest(self._secret, "\n".join(listed).encode(), hashlib.sha256)[:16].hex()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the log for one append, alone."""
        try:
            new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield descriptor
                if new:
                    _sync_folder(self.path.parent)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"The audit log {self.path} cannot be written ({error.strerror}): nothing was read.",
                hint="Free some space, or mend its rights.",
            ) from error

    def _head(self, descriptor: int) -> Head:
        """Return the entry to go on from, and take away what a process that died left half-written."""
        known = head_of(self._store)
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
        if tail and not tail.endswith(b"\n"):
            whole = tail.rfind(b"\n") + 1
            os.ftruncate(descriptor, size - len(tail) + whole)
            tail = tail[:whole]
        return self._after(known, tail.split(b"\n")[:-1])

    def _after(self, known: Head, lines: list[bytes]) -> Head:
        """Take over entries that are on the disk and whose head the store did not get to know."""
        hashes = [hash_of(line) for line in lines]
        if known.seq and known.hash not in hashes:
            return known
        head = known
        for line in lines[hashes.index(known.hash) + 1 if known.seq else 0 :]:
            entry = read_line(line)
            fits = entry is not None and entry.previous == head.hash and entry.seq == head.seq + 1
            if entry is None or not fits or entry.sealed(self._secret) != entry:
                return known
            head = Head(entry.seq, hash_of(line))
        return head


def system_user() -> str:
    """Return the name of the operating system's user, its number where it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
