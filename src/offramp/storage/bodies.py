"""Bodies in segments: sealing them into records, and reading them wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Call, Usage
from offramp.core.errors import StorageError
from offramp.storage import frame
from offramp.storage.codec import decode_call, decode_document
from offramp.storage.index import Place, place_of

if TYPE_CHECKING:
    from types import TracebackType

    from offramp.storage.crypto import Vault
    from offramp.storage.database import Database
    from offramp.storage.keys import KeyRing
    from offramp.storage.segment import Segment, SegmentFolder

_LOOKS = 5
"""How often a body that is moved under the reader's hands is looked for."""

_LEGACY = (
    "SELECT at, session, origin, status, stream, latency_s, prompt_tokens, completion_tokens, route,"
    " request, response, meta FROM calls JOIN bodies ON call = id WHERE id = ?"
)


def seal_record(vault: Vault, segment: int, key: str, flags: int, packed: bytes) -> bytes:
    """Return the bytes of a record that opens in this segment, under this id, and nowhere else."""
    return frame.frame(key, flags, vault.seal(packed, _context(segment, key, flags)))


def open_record(vault: Vault, segment: int, record: frame.Record) -> bytes:
    """Return what ``seal_record`` was given.

    Raises:
        StorageError: It was altered, or belongs elsewhere, or the vault lacks its key.
    """
    return vault.open(record.sealed, _context(segment, record.key, record.flags))


def _context(segment: int, key: str, flags: int) -> str:
    return f"segment/{segment}/{flags}/call/{key}"


class BodyReader:
    """Reads calls; opens each segment once, until it is closed.

    Args:
        database: The index.
        folder: The segments.
        keys: What opens them.
    """

    def __init__(self, database: Database, folder: SegmentFolder, keys: KeyRing) -> None:
        self._database = database
        self._folder = folder
        self._keys = keys
        self._open: dict[int, Segment | None] = {}

    def call(self, key: str, place: Place | None) -> Call | None:
        """Read a call.

        Args:
            key: Its id.
            place: Where the index says it is; None for a body of schema version 1.

        Returns:
            The call, None where it was removed meanwhile.

        Raises:
            StorageError: Its body is damaged, or its segment is not there.
        """
        for _ in range(_LOOKS):
            try:
                return self._legacy(key) if place is None else self._body(key, place)
            except StorageError:
                if not self._database.value("SELECT 1 FROM calls WHERE id = ?", (key,)):
                    return None
                now = place_of(self._database, key)
                if now == place and self._keys.refresh():
                    break
                place = now
        return self._legacy(key) if place is None else self._body(key, place)

    def _body(self, key: str, place: Place) -> Call:
        record = self.record(key, place)
        packed = open_record(self._keys.vault, place.segment, record)
        try:
            return decode_call(key, packed, general=bool(record.flags & frame.GENERAL))
        except ValueError as error:
            raise StorageError(
                f"Call {key} was written by a later version.", hint="Upgrade offramp."
            ) from error

    def record(self, key: str, place: Place) -> frame.Record:
        """Read a call's record, still sealed.

        Raises:
            StorageError: It is damaged, or its segment is not there.
        """
        path = self._folder.file(place.segment)
        if place.segment not in self._open:
            self._open[place.segment] = self._folder.open(place.segment)
        segment = self._open[place.segment]
        if segment is None:
            raise StorageError(
                f"Segment {path.name} is not in {path.parent}; call {key} is lost with it.",
                hint="Restore the file from a backup.",
            )
        record = frame.parse(segment.read(place.offset, place.length))
        if record is None or (record.key, record.length) != (key, place.length):
            raise StorageError(
                f"Call {key} at byte {place.offset} of segment {path.name} was altered or cut off.",
                hint="Restore the file from a backup.",
            )
        return record

    def _legacy(self, key: str) -> Call:
        rows = self._database.rows(_LEGACY, (key,))
        if not rows:
            raise StorageError(f"The body of call {key} is not there.", hint="Restore a backup.")
        at, session, origin, status, stream, latency, prompt, completion, route, *sealed = rows[0]
        request, response, meta = (
            decode_document(self._keys.vault.open(blob, f"call/{key}/{field}"))
            for blob, field in zip(sealed, ("request", "response", "meta"), strict=True)
        )
        return Call(
            id=key,
            at=at,
            session=session,
            origin=origin,
            request=request,
            response=response,
            status=status,
            stream=bool(stream),
            latency_s=latency,
            usage=Usage(prompt, completion),
            route=route,
            meta=meta,
        )

    def close(self) -> None:
        """Close the files."""
        for segment in self._open.values():
            if segment is not None:
                segment.close()
        self._open.clear()

    def __enter__(self) -> BodyReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
