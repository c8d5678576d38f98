"""Parses exchanges and stores them as calls."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson

from offramp.core.errors import StorageError
from offramp.record.stats import losses, note_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.call import Call
    from offramp.record.exchange import Exchange
    from offramp.record.parse import Parser
    from offramp.record.stats import Losses
    from offramp.storage.port import Store

_log = logging.getLogger("offramp.record")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of some exchanges, or of a recorder's start.

    Attributes:
        ready: The store is open; the recorder's only report says so.
        written: Exchanges stored.
        failed: Exchanges lost.
        error: Why, without a word of their content; "" where nothing failed.
        kind: Class of the error that stops the recorder from starting, "" where it starts.
    """

    ready: bool = False
    written: int = 0
    failed: int = 0
    error: str = ""
    kind: str = ""

    def encode(self) -> bytes:
        """Return the report as a line."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Report:
        """Read a line.

        Raises:
            ValueError: It is no report.
        """
        try:
            return cls(**orjson.loads(line))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{len(line)} bytes are no report") from error


class Writer:
    """Parses exchanges and stores them; what cannot be stored is counted, never kept in plaintext.

    Args:
        store: Where calls go.
        parser: Makes calls of exchanges.
    """

    def __init__(self, store: Store, parser: Parser) -> None:
        self._store = store
        self._parser = parser

    def parse(self, exchange: Exchange) -> Call:
        """Make a call of an exchange; masked, and with pseudonyms."""
        return self._parser.parse(exchange)

    def store(self, calls: Sequence[Call]) -> None:
        """Store calls durably, all or none; the same call twice is stored once.

        Raises:
            StorageError: The store does not take them.
        """
        if calls:
            self._store.append(calls)

    def write(self, exchanges: Sequence[Exchange]) -> Report:
        """Parse and store exchanges and report; raises nothing but what ends a process."""
        calls: list[Call] = []
        error = ""
        for exchange in exchanges:
            try:
                calls.append(self.parse(exchange))
            except Exception as failure:  # noqa: BLE001 - one strange exchange must not cost the others
                # The message could quote the exchange; its class cannot.
                error = f"An exchange could not be parsed ({type(failure).__name__})."
                _log.error(error)
        try:
            self.store(calls)
        except StorageError as failure:
            _log.error("%d calls could not be stored: %s", len(calls), failure)
            return Report(failed=len(exchanges), error=str(failure))
        return Report(written=len(calls), failed=len(exchanges) - len(calls), error=error)

    def losses(self, *, but: str) -> Losses:
        """Return what was lost so far, but for the ring of that name.

        Raises:
            StorageError: The store cannot be read.
        """
        return losses(self._store, but=but)

    def note_losses(self, name: str, lost: Losses) -> None:
        """Keep what the ring of that name has lost.

        Raises:
            StorageError: The store takes nothing.
        """
        note_losses(self._store, name, lost)

    def works(self, name: str, lost: Losses) -> bool:
        """Try whether the store takes anything at all."""
        try:
            self.note_losses(name, lost)
        except StorageError:
            return False
        return True

    def close(self) -> None:
        """Close the store."""
        self._store.close()
