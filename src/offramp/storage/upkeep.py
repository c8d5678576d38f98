"""Upkeep: expire, move, compact, reseal, give space back; in small steps, each of which may be the last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.storage import frame
from offramp.storage.erasing import drop, overwrite
from offramp.storage.moving import Mover, drop_keys, reseal_documents
from offramp.storage.port import Footprint, Retention, Upkeep
from offramp.storage.recovery import recover_all

if TYPE_CHECKING:
    from offramp.storage.database import Database
    from offramp.storage.keys import KeyRing
    from offramp.storage.segment import SegmentFolder

_BATCH = 200
_PAGES = 1000
_ROUNDS = 3
_DAY_S = 86_400.0
GARBAGE_SHARE = 0.3
"""Share of a segment that no call refers to, at and above which it is rewritten."""


@dataclass
class _Tally:
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, number: int) -> int:
        self.counts[what] = self.counts.get(what, 0) + number
        return number


class Caretaker:
    """Does the upkeep of one store.

    The folder's upkeep lock is held for one step at a time, so that a removal never waits for all of it.

    Args:
        database: The index.
        folder: The segments.
        keys: What opens and seals.
        segment_bytes: Length at which a new segment is begun.
    """

    def __init__(self, database: Database, folder: SegmentFolder, keys: KeyRing, segment_bytes: int) -> None:
        self._database = database
        self._folder = folder
        self._keys = keys
        self._mover = Mover(database, folder, keys, segment_bytes)

    def run(self, retention: Retention, now: float) -> Upkeep:
        """Do one round; see the store's port."""
        before = footprint(self._database, self._folder).total_bytes
        tally = _Tally()
        self._folder.spending_reserve(lambda: self._steps(retention, now, tally))
        self._folder.keep_reserve()
        after = footprint(self._database, self._folder).total_bytes
        return Upkeep(**tally.counts, bytes_before=before, bytes_after=after)

    def _steps(self, retention: Retention, now: float, tally: _Tally) -> None:
        self._finish_what_was_begun()
        self._expire(retention, now, tally)
        self._move_legacy(tally)
        self._reseal_documents(tally)
        self._compact(GARBAGE_SHARE, tally)
        self._drop_keys(tally)
        self._give_back()
        self._evict(retention, tally)

    def _finish_what_was_begun(self) -> None:
        with self._folder.upkeep():
            recover_all(self._database, self._folder, self._keys)
            overwrite(self._database, self._folder)

    def _expire(self, retention: Retention, now: float, tally: _Tally) -> None:
        if retention.days <= 0:
            return
        query = "SELECT id FROM calls WHERE at < ? ORDER BY at, id LIMIT ?"
        values = (now - retention.days * _DAY_S, _BATCH)
        while ids := [row[0] for row in self._database.rows(query, values)]:
            tally.add("expired", self._drop(ids))

    def _evict(self, retention: Retention, tally: _Tally) -> None:
        """Remove the oldest calls until the store is small enough."""
        for number in range(_ROUNDS if retention.max_bytes > 0 else 0):
            taken = footprint(self._database, self._folder)
            if taken.total_bytes <= retention.max_bytes or not taken.calls:
                return
            self._compact(0.0, tally)
            self._give_back()
            taken = footprint(self._database, self._folder)
            excess = taken.total_bytes - retention.max_bytes
            # Rows free whole pages or nothing: where they did not free their share, bodies have to.
            row_bytes = 0 if number else taken.index_bytes // max(1, taken.calls)
            while excess > 0 and (ids := self._oldest(excess, row_bytes)):
                tally.add("evicted", self._drop([key for key, _ in ids]))
                excess -= sum(size for _, size in ids)
            self._compact(0.0, tally)
            self._give_back()

    def _oldest(self, excess: int, row_bytes: int) -> list[tuple[str, int]]:
        """Return the oldest calls that take so many bytes together, a batch at most, with their sizes."""
        query = "SELECT id, ifnull(length, 1000) FROM calls ORDER BY at, id LIMIT ?"
        found: list[tuple[str, int]] = []
        for key, length in self._database.rows(query, (_BATCH,)):
            if excess <= 0:
                break
            found.append((key, length + row_bytes))
            excess -= length + row_bytes
        return found

    def _drop(self, ids: list[str]) -> int:
        return drop(self._database, self._folder, self._keys, ids)

    def _move_legacy(self, tally: _Tally) -> None:
        after: str | None = ""
        while after is not None:
            with self._folder.upkeep():
                moved, after = self._mover.move_legacy(after)
            tally.add("moved", moved)

    def _reseal_documents(self, tally: _Tally) -> None:
        while tally.add("resealed", reseal_documents(self._database, self._keys)):
            pass

    def _compact(self, share: float, tally: _Tally) -> None:
        current = self._keys.refresh().current
        for number, resealing in self._worth_compacting(share, current):
            with self._folder.upkeep():
                moved = self._mover.compact(number)
                overwrite(self._database, self._folder)
            if moved is not None:
                tally.add("compacted", 1)
                tally.add("resealed", moved if resealing else 0)

    def _worth_compacting(self, share: float, current: int) -> list[tuple[int, bool]]:
        """Return the segments to rewrite, and whether they hold an old key's records.

        The emptiest come first: unlinking them makes room for the others' copies.
        """
        used: dict[int, int] = dict(self._database.rows(_USED))
        sizes = self._folder.sizes()
        found = []
        for number, lowest in self._database.rows(
            "SELECT number, lowest_key FROM segments WHERE indexed >= 0"
        ):
            room = sizes.get(number, 0) - frame.HEADER_BYTES
            garbage = room - used.get(number, 0)
            if number in sizes and (lowest < current or (garbage > 0 and garbage >= share * room)):
                found.append((number, lowest < current))
        return sorted(found, key=lambda item: used.get(item[0], 0))

    def _drop_keys(self, tally: _Tally) -> None:
        with self._folder.upkeep():
            tally.add("keys_dropped", drop_keys(self._database, self._keys))
        self._keys.refresh()

    def _give_back(self) -> None:
        while self._database.give_back(_PAGES):
            pass
        self._database.empty_log()


_USED = "SELECT segment, sum(length) FROM calls WHERE segment IS NOT NULL GROUP BY segment"
_ENDS = "SELECT count(*) FROM calls WHERE segment = ? AND offset + length > ?"
_COUNTS = "SELECT segment, count(*) FROM calls WHERE segment IS NOT NULL GROUP BY segment"


def footprint(database: Database, folder: SegmentFolder) -> Footprint:
    """Say what a store holds and what it takes."""
    sizes = folder.sizes()
    used: dict[int, int] = dict(database.rows(_USED))
    counts: dict[int, int] = dict(database.rows(_COUNTS))
    gone = sorted(set(counts) - set(sizes))
    cut = sum(database.value(_ENDS, (number, sizes[number])) for number in counts if number in sizes)
    headers = len(sizes) * frame.HEADER_BYTES
    return Footprint(
        calls=int(database.value("SELECT count(*) FROM calls")),
        lost=sum(counts[number] for number in gone) + cut,
        segments=len(sizes),
        segment_bytes=sum(sizes.values()),
        garbage_bytes=max(0, sum(sizes.values()) - headers - sum(used.get(number, 0) for number in sizes)),
        index_bytes=database.path.stat().st_size,
        log_bytes=_size(database),
        missing=tuple(folder.file(number).name for number in gone),
    )


def _size(database: Database) -> int:
    log = database.path.with_name(database.path.name + "-wal")
    return log.stat().st_size if log.exists() else 0
