"""What every store can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject


class Store(Protocol):
    """Calls in order of arrival, and named documents (tasks, certificates, deployments)."""

    def append(self, calls: Sequence[Call]) -> None:
        """Write calls durably in one transaction; all or none.

        Raises:
            DiskFull: No space left; nothing was written.
        """
        ...

    def calls(self, *, since: float = 0.0, limit: int | None = None) -> Iterator[Call]:
        """Yield calls with ``at >= since`` in order of ``(at, id)``, at most ``limit``."""
        ...

    def count(self) -> int:
        """Return how many calls the store holds."""
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
