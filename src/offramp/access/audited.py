"""A store that writes down who reads bodies, before they do."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from offramp.access.roles import Action
from offramp.storage.port import Retention

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from offramp.access.audit import AuditLog
    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.storage.port import Footprint, Store, Upkeep

_BATCH = 1000
_KEEP = Retention()


class AuditedStore:
    """Implements the store port over another store; every read of calls is in the audit log first.

    A read of up to a thousand calls is one entry, with their number and the digest of their ids; a longer
    one has an entry per thousand. No body leaves before its entry is on the disk; where the log cannot be
    written, nothing can be read. Documents (tasks, certificates, keys) hold no bodies and are not entered.

    Args:
        store: The store.
        log: The audit log.
        purpose: What is read for: a command's name.
        who: Who reads; whom the log names by default.
    """

    def __init__(self, store: Store, log: AuditLog, purpose: str, *, who: str = "") -> None:
        self._store = store
        self._log = log
        self._purpose = purpose
        self._who = who

    def calls(self, *, since: float = 0.0, limit: int | None = None) -> Iterator[Call]:
        """Yield calls as the store does."""
        found = self._store.calls(since=since, limit=limit)
        while batch := list(islice(found, _BATCH)):
            self._enter(batch)
            yield from batch

    def call(self, key: str) -> Call | None:
        """Read one call by its id, None where there is none."""
        found = self._store.call(key)
        if found is not None:
            self._enter([found])
        return found

    def _enter(self, calls: Sequence[Call]) -> None:
        self._log.write(
            Action.READ_BODIES,
            self._purpose,
            count=len(calls),
            ids=[call.id for call in calls],
            who=self._who,
        )

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls."""
        self._store.append(calls)

    def count(self) -> int:
        """Return how many calls the store holds."""
        return self._store.count()

    def remove(self, ids: Iterable[str]) -> int:
        """Remove calls; return how many were there."""
        return self._store.remove(ids)

    def upkeep(self, retention: Retention = _KEEP, *, now: float | None = None) -> Upkeep:
        """Drop what is too old or too much."""
        return self._store.upkeep(retention, now=now)

    def footprint(self) -> Footprint:
        """Say what the store holds and what it takes."""
        return self._store.footprint()

    def secret(self, purpose: str) -> bytes:
        """Return the store's secret for a purpose."""
        return self._store.secret(purpose)

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        """Write a document."""
        self._store.put(kind, key, value)

    def get(self, kind: str, key: str) -> JsonObject | None:
        """Read a document, None where there is none."""
        return self._store.get(kind, key)

    def documents(self, kind: str) -> dict[str, JsonObject]:
        """Read all documents of a kind by key, in order of key."""
        return self._store.documents(kind)

    def delete(self, kind: str, key: str) -> None:
        """Remove a document; absent is fine."""
        self._store.delete(kind, key)

    def close(self) -> None:
        """Release files and locks."""
        self._store.close()
