"""Logs into the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.interchange import Broken, format_named, read_calls
from offramp.record.imports import admitted

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
        where: Where the first few of them stand.
    """

    read: int
    added: int
    skipped: int
    first_error: str
    where: tuple[str, ...] = ()


def import_logs(app: App, logs: Sequence[Path], *, wanted: str = "", skip_broken: bool = False) -> Imported:
    """Mask, encrypt and store the calls of some files, in one transaction.

    Args:
        app: The installation.
        logs: The files.
        wanted: Name of their format; told from each row where "".
        skip_broken: Leave out and count rows that are no calls.

    Raises:
        NotFound: A file is not there.
        BadInput: A row is no call, or there is no such format; nothing is stored then.
        StorageError: The store cannot take them; nothing is stored then.
    """
    broken = Broken() if skip_broken else None
    raw = read_calls(logs, wanted=format_named(wanted) if wanted else None, broken=broken)
    calls = list(admitted(raw, app.redactor.redact, app.pseudonyms))
    before = app.store.count()
    app.store.append(calls)
    return Imported(
        read=len(calls),
        added=app.store.count() - before,
        skipped=broken.lines if broken else 0,
        first_error=broken.first if broken else "",
        where=tuple(broken.where) if broken else (),
    )
