"""What every store can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Retention:
    """How long calls are kept.

    Attributes:
        days: Calls older than this go; 0 keeps them.
        max_bytes: Size of the store above which the oldest calls go; 0 sets no limit.
    """

    days: float = 0.0
    max_bytes: int = 0


KEEP = Retention()
"""No limits."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one round of upkeep did.

    Attributes:
        expired: Calls removed because of their age.
        evicted: Calls removed because the store was too large.
        moved: Calls of an older schema moved into segments.
        compacted: Segments rewritten or dropped.
        resealed: Calls and documents sealed anew with the current data key.
        keys_dropped: Data keys that nothing is sealed with any more.
        bytes_before: Size of the store before, in bytes.
        bytes_after: Size of the store after, in bytes.
    """

    expired: int = 0
    evicted: int = 0
    moved: int = 0
    compacted: int = 0
    resealed: int = 0
    keys_dropped: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the store holds and what it takes, in bytes.

    Attributes:
        calls: Calls in the index.
        lost: Calls in the index whose body is gone with its segment's file, or was cut off with its end.
        segments: Files of bodies.
        segment_bytes: Their size.
        garbage_bytes: The part of it that no call refers to.
        index_bytes: The SQLite file: index, documents, keys, and bodies of an older schema.
        log_bytes: SQLite's write-ahead log.
        missing: Names of segments that calls refer to and that are not there.
    """

    calls: int
    lost: int = 0
    segments: int = 0
    segment_bytes: int = 0
    garbage_bytes: int = 0
    index_bytes: int = 0
    log_bytes: int = 0
    missing: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Everything together."""
        return self.segment_bytes + self.index_bytes + self.log_bytes


class Store(Protocol):
    """Calls in order of arrival, and named documents (tasks, certificates, deployments)."""

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls durably, all or none; one whose id is there already is left as it is.

        Raises:
            DiskFull: No space left; nothing was written.
        """
        ...

    def calls(self, *, since: float = 0.0, limit: int | None = None) -> Iterator[Call]:
        """Yield calls with ``at >= since`` in order of ``(at, id)``, at most ``limit``.

        A call whose body cannot be read is left out, counted and logged.
        """
        ...

    def call(self, key: str) -> Call | None:
        """Read one call by its id, None where there is none.

        Raises:
            StorageError: It is there and cannot be read.
        """
        ...

    def count(self) -> int:
        """Return how many calls the store holds."""
        ...

    def remove(self, ids: Iterable[str]) -> int:
        """Remove calls so that no byte of them is left in any file; return how many were there."""
        ...

    def upkeep(self, retention: Retention = KEEP, *, now: float | None = None) -> Upkeep:
        """Drop what is too old or too much and give the space back.

        It may be interrupted at any moment and run beside writers and readers.

        Args:
            retention: What to keep.
            now: Seconds since the epoch that ages are counted from; the machine's clock by default.
        """
        ...

    def footprint(self) -> Footprint:
        """Say what the store holds and what it takes."""
        ...

    def secret(self, purpose: str) -> bytes:
        """Return this store's 32-byte secret for a purpose; the same for as long as the store lives."""
        ...

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        """Write a document, replacing the one of the same kind and key."""
        ...

    def get(self, kind: str, key: str) -> JsonObject | None:
        """Read a document, None where there is none."""
        ...

    def documents(self, kind: str) -> dict[str, JsonObject]:
        """Read all documents of a kind by key, in order of key."""
        ...

    def delete(self, kind: str, key: str) -> None:
        """Remove a document; absent is fine."""
        ...

    def close(self) -> None:
        """Release files and locks; idempotent."""
        ...
