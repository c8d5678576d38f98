"""Logs into the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.record.imports import Broken, read_calls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.app.build import App


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        read: Calls read.
        added: Of those, calls the store did not have.
        skipped: Broken lines left out.
        first_error: What was wrong with the first of them.
    """

    read: int
    added: int
    skipped: int
    first_error: str


def import_logs(app: App, logs: Sequence[Path], *, skip_broken: bool = False) -> Imported:
    """Mask, encrypt and store the calls of some files, in one transaction.

    Raises:
        NotFound: A file is not there.
        BadInput: A file is no JSONL, or a line is no call; nothing is stored then.
        StorageError: The store cannot take them; nothing is stored then.
    """
    broken = Broken() if skip_broken else None
    calls = list(read_calls(logs, app.redactor.redact, app.pseudonyms, broken=broken))
    before = app.store.count()
    app.store.append(calls)
    return Imported(
        read=len(calls),
        added=app.store.count() - before,
        skipped=broken.lines if broken else 0,
        first_error=broken.first if broken else "",
    )
