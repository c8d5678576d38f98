"""What a recorder remembers of earlier calls, within a bound."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Keeps what was used last; two generations, so that neither looking up nor forgetting costs anything.

    Args:
        most: Cost of everything that is kept, in bytes.
    """

    __slots__ = ("_cost", "_half", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._new: dict[bytes, tuple[V, int]] = {}
        self._old: dict[bytes, tuple[V, int]] = {}
        self._cost = 0

    def get(self, key: bytes) -> V | None:
        """Return what was kept, None where there is nothing (any more)."""
        kept = self._new.get(key)
        if kept is None:
            kept = self._old.pop(key, None)
            if kept is None:
                return None
            self._keep(key, kept)
        return kept[0]

    def put(self, key: bytes, value: V, cost: int) -> None:
        """Keep something that takes ``cost`` bytes; what is larger than a generation is not kept."""
        if cost <= self._half:
            self._keep(key, (value, cost))

    def _keep(self, key: bytes, kept: tuple[V, int]) -> None:
        if self._cost + kept[1] > self._half:
            self._old, self._new, self._cost = self._new, {}, 0
        self._new[key] = kept
        self._cost += kept[1]

    def __len__(self) -> int:
        """Return how much is kept."""
        return len(self._new) + len(self._old)
