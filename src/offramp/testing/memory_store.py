"""A store that forgets: for tests, and for trying things without a file."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING

from offramp.storage.crypto import derive_key
from offramp.storage.port import KEEP, Footprint, Retention, Upkeep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject


class MemoryStore:
    """Implements the store port in memory; keeps copies, as a real store does."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._documents: dict[tuple[str, str], JsonObject] = {}

    def append(self, calls: Sequence[Call]) -> None:
        """Add calls; one whose id is there already is left as it is."""
        for call in [_copied(call) for call in calls]:
            self._calls.setdefault(call.id, call)

    def calls(self, *, since: float = 0.0, limit: int | None = None) -> Iterator[Call]:
        """Yield calls with ``at >= since`` in order of ``(at, id)``, at most ``limit``."""
        wanted = sorted((c for c in self._calls.values() if c.at >= since), key=lambda c: (c.at, c.id))
        yield from map(_copied, wanted[:limit])

    def call(self, key: str) -> Call | None:
        """Read one call by its id, None where there is none."""
        found = self._calls.get(key)
        return None if found is None else _copied(found)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove calls; return how many were there."""
        return sum(self._calls.pop(key, None) is not None for key in ids)

    def upkeep(self, retention: Retention = KEEP, *, now: float | None = None) -> Upkeep:
        """Drop what is too old or too much."""
        before = self.footprint().total_bytes
        now = time.time() if now is None else now
        horizon = now - retention.days * 86_400.0 if retention.days > 0 else float("-inf")
        expired = self.remove([call.id for call in self._calls.values() if call.at < horizon])
        evicted = 0
        for call in list(self.calls()):
            if 0 < retention.max_bytes < self.footprint().total_bytes:
                evicted += self.remove([call.id])
        after = self.footprint().total_bytes
        return Upkeep(expired=expired, evicted=evicted, bytes_before=before, bytes_after=after)

    def footprint(self) -> Footprint:
        """Say what the store holds, and what it would take as JSON."""
        size = sum(len(json.dumps(dataclasses.asdict(call))) for call in self._calls.values())
        return Footprint(calls=len(self._calls), segment_bytes=size)

    def secret(self, purpose: str) -> bytes:
        """Return a secret that every memory store shares."""
        return derive_key(bytes(32), purpose)

    def count(self) -> int:
        """Return how many calls the store holds."""
        return len(self._calls)

    def put(self, kind: str, key: str, value: JsonObject) -> None:
        """Write a document, replacing the one of the same kind and key."""
        self._documents[kind, key] = _copy(value)

    def get(self, kind: str, key: str) -> JsonObject | None:
        """Read a document, None where there is none."""
        value = self._documents.get((kind, key))
        return None if value is None else _copy(value)

    def documents(self, kind: str) -> dict[str, JsonObject]:
        """Read all documents of a kind by key, in order of key."""
        return {key: _copy(value) for (k, key), value in sorted(self._documents.items()) if k == kind}

    def delete(self, kind: str, key: str) -> None:
        """Remove a document; absent is fine."""
        self._documents.pop((kind, key), None)

    def close(self) -> None:
        """Do nothing; there is nothing to release."""


def _copy(value: JsonObject) -> JsonObject:
    made: JsonObject = json.loads(json.dumps(value))
    return made


def _copied(call: Call) -> Call:
    return dataclasses.replace(
        call, request=_copy(call.request), response=_copy(call.response), meta=_copy(call.meta)
    )
