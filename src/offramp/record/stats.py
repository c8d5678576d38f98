"""How recording goes: counts from the rings, readable without a key, and the losses of earlier runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.record.folder import abandoned, rings
from offramp.record.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from offramp.storage.port import Store

RECORDING = "recording"
"""Kind of the documents that keep losses: one for each ring that had any."""


@dataclass(frozen=True, slots=True)
class TapStats:
    """How recording goes.

    Attributes:
        taken: Exchanges taken in.
        written: Of those, stored.
        failed: Of those, lost.
        dropped: Exchanges not taken in: there was no room.
        restarts: How often the recorder process was started again.
        error: The last trouble, "" where there was none.
        dropped_bytes: Bytes of the exchanges not taken in.
        lag_s: Age of the oldest exchange that is taken and not stored; what a power cut would cost.
        stalled: Whether nothing can be stored at present: the store takes nothing, or no recorder runs.
        earlier_losses: Exchanges lost in earlier runs on this home.
    """

    taken: int = 0
    written: int = 0
    failed: int = 0
    dropped: int = 0
    restarts: int = 0
    error: str = ""
    dropped_bytes: int = 0
    lag_s: float = 0.0
    stalled: bool = False
    earlier_losses: int = 0

    @property
    def waiting(self) -> int:
        """Exchanges taken in and neither stored nor lost yet."""
        return self.taken - self.written - self.failed

    @property
    def lost(self) -> int:
        """Exchanges lost, now and in earlier runs; anything but 0 is an alarm."""
        return self.failed + self.dropped + self.earlier_losses


def stats_of(ring: Ring) -> TapStats:
    """Read the counts of one ring."""
    # The reader's first: what it has done, the other side had put in before.
    stored, taken, since = ring.stored.read(), ring.taken.read(), ring.oldest()
    return TapStats(
        taken=taken.calls,
        written=stored.written,
        failed=stored.failed + taken.refused,
        dropped=taken.dropped,
        restarts=taken.restarts,
        error=(ring.gateway_error if taken.down else "") or ring.recorder_error or ring.gateway_error,
        dropped_bytes=taken.dropped_bytes,
        lag_s=max(0.0, (time.monotonic_ns() - since) / 1e9) if since else 0.0,
        stalled=bool(stored.stalled or taken.down),
        earlier_losses=stored.earlier_dropped + stored.earlier_failed,
    )


def read_stats(folders: Sequence[Path]) -> TapStats:
    """Add up the counts of all rings of a home, from any process and without a key.

    Rings whose gateway is gone and that hold calls still count: the next recorder stores those.

    Args:
        folders: As :func:`offramp.record.folder.ring_folders` gives them.
    """
    return _sum(_each(folders))


def _each(folders: Sequence[Path]) -> Iterable[TapStats]:
    for path in rings(folders):
        with contextlib.suppress(OSError, StorageError):
            ring = Ring(path, writable=False)
            try:
                found = stats_of(ring)
            finally:
                ring.close()
            if not found.error and found.waiting and abandoned(path):
                found = _orphaned(found)
            yield found


def _orphaned(stats: TapStats) -> TapStats:
    error = f"{stats.waiting} calls wait in the ring of a gateway that is gone; `offramp serve` stores them."
    return TapStats(
        stats.taken,
        stats.written,
        stats.failed,
        stats.dropped,
        stats.restarts,
        error,
        stats.dropped_bytes,
        stats.lag_s,
        stats.stalled,
        stats.earlier_losses,
    )


def _sum(found: Iterable[TapStats]) -> TapStats:
    rows = list(found)
    return TapStats(
        taken=sum(row.taken for row in rows),
        written=sum(row.written for row in rows),
        failed=sum(row.failed for row in rows),
        dropped=sum(row.dropped for row in rows),
        restarts=sum(row.restarts for row in rows),
        error=next((row.error for row in reversed(rows) if row.error), ""),
        dropped_bytes=sum(row.dropped_bytes for row in rows),
        lag_s=max((row.lag_s for row in rows), default=0.0),
        stalled=any(row.stalled for row in rows),
        # Those of the oldest ring: a younger one's may contain what an older one has counted itself.
        earlier_losses=rows[0].earlier_losses if rows else 0,
    )


@dataclass(frozen=True, slots=True)
class Losses:
    """Calls that were lost, over all runs.

    Attributes:
        dropped: There was no room for them.
        failed: They could not be read, or ended the recorder.
    """

    dropped: int = 0
    failed: int = 0


def losses(store: Store, *, but: str = "") -> Losses:
    """Add up the losses that the store knows of.

    Args:
        store: The store.
        but: Name of a ring to leave out.
    """
    rows = [row for name, row in store.documents(RECORDING).items() if name != but]
    return Losses(sum(int(row["dropped"]) for row in rows), sum(int(row["failed"]) for row in rows))


def note_losses(store: Store, name: str, lost: Losses) -> None:
    """Write down what one ring has lost so far.

    Raises:
        StorageError: The store takes nothing.
    """
    store.put(RECORDING, name, {"dropped": lost.dropped, "failed": lost.failed, "until": time.time()})
