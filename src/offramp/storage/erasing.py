"""Removing calls so that nothing of them is left: out of the index, overwritten, out of SQLite's log."""

from __future__ import annotations

from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING

from offramp.core.errors import StorageError
from offramp.storage import index
from offramp.storage.recovery import recover_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offramp.storage.database import Database
    from offramp.storage.keys import KeyRing
    from offramp.storage.segment import SegmentFolder

_BATCH = 200


def remove(database: Database, folder: SegmentFolder, keys: KeyRing, ids: Iterable[str]) -> int:
    """Remove calls; see the store's port.

    The index forgets them first, with a note of which bytes are to be overwritten: cut short at any point,
    the next upkeep or opening finishes what the note says.

    Raises:
        StorageError: They are removed, but a reader holds SQLite's log, which still names them.
    """
    removed = 0
    for batch in _batches(ids):
        removed += folder.spending_reserve(partial(drop, database, folder, keys, batch))
    emptied = folder.spending_reserve(database.empty_log)
    folder.keep_reserve()
    if not emptied:
        raise StorageError(
            "The calls are removed, but another process holds SQLite's log open, which still names them.",
            hint="Run: offramp store upkeep.",
        )
    return removed


def drop(database: Database, folder: SegmentFolder, keys: KeyRing, batch: list[str]) -> int:
    """Remove one batch of calls and overwrite their bodies; return how many were there."""
    with folder.upkeep():
        # What a killed process left could otherwise bring a removed call back later.
        recover_all(database, folder, keys)
        with database.transaction(durable=True) as connection:
            dropped = index.drop(connection, batch)
        overwrite(database, folder)
    return dropped


def overwrite(database: Database, folder: SegmentFolder) -> int:
    """Overwrite the bytes that wait for it; the folder's upkeep lock must be held. Return how many bytes."""
    done = 0
    while places := [index.Place(*row) for row in database.rows(_WAITING, (_BATCH,))]:
        for number, group in groupby(places, key=lambda place: place.segment):
            _overwrite(folder, number, list(group))
        with database.transaction() as connection:
            connection.executemany(
                "DELETE FROM erasures WHERE segment = ? AND offset = ?",
                [(place.segment, place.offset) for place in places],
            )
        done += sum(place.length for place in places)
    return done


_WAITING = "SELECT segment, offset, length FROM erasures ORDER BY segment, offset LIMIT ?"


def _overwrite(folder: SegmentFolder, number: int, places: list[index.Place]) -> None:
    segment = folder.open(number)
    if segment is None:
        return
    with segment:
        for place in places:
            segment.erase(place.offset, place.length)
        segment.sync()


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch
