"""The index: where each call's body is, and what becomes of a body that no call refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.storage.crypto import key_of
from offramp.storage.frame import COPY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from offramp.core.call import Call
    from offramp.storage.database import Database

DROPPED = -1
"""``indexed`` of a segment whose file is to be unlinked."""

_COLUMNS = (
    "id, at, session, origin, status, stream, latency_s, prompt_tokens, completion_tokens, route, dialect,"
    " trainable, segment, offset, length"
)
_INSERT = f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES ({', '.join('?' * 15)})"  # noqa: S608 - constants
_SEGMENT = (
    "INSERT INTO segments (number, kind, indexed, lowest_key) VALUES (?, ?, ?, ?) ON CONFLICT (number)"
    " DO UPDATE SET indexed = excluded.indexed, lowest_key = min(lowest_key, excluded.lowest_key)"
)
_PLACED = "SELECT 1 FROM calls WHERE id = ? AND segment = ? AND offset = ?"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body is: segment number, offset and length in bytes."""

    segment: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Extent:
    """What a segment holds after something was written to it.

    Attributes:
        number: The segment.
        kind: LOG or COPY.
        end: Its length in bytes up to which all is indexed.
        lowest_key: Lowest number of a data key among what was written.
    """

    number: int
    kind: int
    end: int
    lowest_key: int


def lowest_key(sealed: Sequence[bytes], current: int) -> int:
    """Return the lowest number of a data key that something is sealed with."""
    return min(map(key_of, sealed), default=current)


def add(connection: sqlite3.Connection, placed: Sequence[tuple[Call, Place]], extent: Extent) -> int:
    """Index calls; where an id is known already, the new body is queued for erasure.

    Returns:
        How many were new.
    """
    before = connection.total_changes
    connection.executemany(_INSERT, [_row(call, place) for call, place in placed])
    new = connection.total_changes - before
    if new < len(placed):
        queue_erasure(
            connection,
            [
                place
                for call, place in placed
                if not connection.execute(_PLACED, (call.id, place.segment, place.offset)).fetchone()
            ],
        )
    extend(connection, extent)
    return new


def extend(connection: sqlite3.Connection, extent: Extent) -> None:
    """Note up to where a segment is indexed."""
    connection.execute(_SEGMENT, (extent.number, extent.kind, extent.end, extent.lowest_key))


def move(connection: sqlite3.Connection, key: str, old: Place | None, new: Place) -> bool:
    """Point a call at another place; False, and the copy queued for erasure, where it has gone meanwhile.

    Args:
        connection: Within a transaction.
        key: The call's id.
        old: Where it was; None for a body of schema version 1.
        new: Where it is now.
    """
    segment, offset = (old.segment, old.offset) if old else (None, None)
    done = connection.execute(
        "UPDATE calls SET segment = ?, offset = ?, length = ? WHERE id = ? AND segment IS ? AND offset IS ?",
        (new.segment, new.offset, new.length, key, segment, offset),
    )
    if not done.rowcount:
        queue_erasure(connection, [new])
    return bool(done.rowcount)


def drop(connection: sqlite3.Connection, keys: Sequence[str]) -> int:
    """Take calls out of the index and queue their bodies for erasure; return how many were there."""
    dropped = 0
    for key in keys:
        row = connection.execute("SELECT segment, offset, length FROM calls WHERE id = ?", (key,)).fetchone()
        if row is None:
            continue
        if row[0] is not None:
            queue_erasure(connection, [Place(*row)])
        connection.execute("DELETE FROM bodies WHERE call = ?", (key,))
        dropped += connection.execute("DELETE FROM calls WHERE id = ?", (key,)).rowcount
    return dropped


def queue_erasure(connection: sqlite3.Connection, places: Sequence[Place]) -> None:
    """Note bytes that are to be overwritten."""
    connection.executemany(
        "INSERT OR REPLACE INTO erasures VALUES (?, ?, ?)",
        [(place.segment, place.offset, place.length) for place in places],
    )


def known(database: Database, keys: Sequence[str]) -> set[str]:
    """Return those ids that are in the index."""
    found: set[str] = set()
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        found |= {row[0] for row in database.rows(f"SELECT id FROM calls WHERE id IN ({marks})", chunk)}  # noqa: S608 - marks
    return found


def place_of(database: Database, key: str) -> Place | None:
    """Return where a call's body is, None for no such call or a body of schema version 1."""
    rows = database.rows("SELECT segment, offset, length FROM calls WHERE id = ?", (key,))
    return Place(*rows[0]) if rows and rows[0][0] is not None else None


def last_number(database: Database) -> int:
    """Return the highest segment number that the index has known."""
    return int(
        database.value(
            "SELECT max(ifnull((SELECT max(number) FROM segments), 0),"
            " ifnull((SELECT value FROM properties WHERE name = 'last segment'), 0))"
        )
    )


def retire(connection: sqlite3.Connection, number: int) -> bool:
    """Mark a segment as one to be unlinked; False where a call still refers to it."""
    if connection.execute("SELECT 1 FROM calls WHERE segment = ? LIMIT 1", (number,)).fetchone():
        return False
    connection.execute(
        "INSERT INTO properties VALUES ('last segment', ?)"
        " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (number,),
    )
    extend(connection, Extent(number, COPY, DROPPED, 0))
    return True


def forget(connection: sqlite3.Connection, number: int) -> None:
    """Forget a segment whose file is gone."""
    connection.execute("DELETE FROM erasures WHERE segment = ?", (number,))
    connection.execute("DELETE FROM segments WHERE number = ?", (number,))


def _row(call: Call, place: Place) -> tuple[object, ...]:
    return (
        call.id,
        call.at,
        call.session,
        call.origin,
        call.status,
        int(call.stream),
        call.latency_s,
        call.usage.prompt_tokens,
        call.usage.completion_tokens,
        call.route,
        call.dialect.value,
        int(call.trainable),
        place.segment,
        place.offset,
        place.length,
    )
