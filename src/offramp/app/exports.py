"""The store into files."""

from __future__ import annotations

import contextlib
import gzip
import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from offramp.app.security import reading
from offramp.core.errors import BadInput, NotFound
from offramp.dialect.codec import encode
from offramp.discover.assign import Assigner
from offramp.interchange import format_named
from offramp.interchange.values import seconds
from offramp.loop import state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offramp.app.build import App
    from offramp.core.call import Call


@dataclass(frozen=True, slots=True)
class Selection:
    """Which calls.

    Attributes:
        task: Id of a task; "" for all.
        since: Time from which on, as text; "" for all.
        trainable_only: Whether calls that may not be trained on are left out.
    """

    task: str = ""
    since: str = ""
    trainable_only: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes:
        written: Calls written.
        left_out: Chosen calls that the format cannot hold (a failed call has nothing to learn from).
    """

    written: int
    left_out: int


def export_calls(app: App, out: Path, name: str, chosen: Selection) -> Exported:
    """Write calls to a file that only its owner can read; it appears whole or not at all.

    Raises:
        BadInput: There is no such format, or no such time.
        NotFound: There is no such task.
    """
    form = format_named(name)
    written = left_out = 0
    with written_whole(out) as file:
        for call in _chosen(app, chosen):
            try:
                row = form.write(call)
            except ValueError:
                left_out += 1
                continue
            file.write(encode(row) + b"\n")
            written += 1
    return Exported(written, left_out)


@contextlib.contextmanager
def written_whole(out: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Write a file that only its owner can read (.gz is compressed); it appears whole or not at all.

    Raises:
        BadInput: Its folder cannot be written to.
    """
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with _opened(draft, packed=out.suffix == ".gz") as file:
            yield file
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path, *, packed: bool) -> Iterator[IO[bytes] | gzip.GzipFile]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(
            f"{path.parent} cannot be written to: {error.strerror}.", hint="Choose another place."
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        if not packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as zipped:
            yield zipped


def _chosen(app: App, chosen: Selection) -> Iterator[Call]:
    since = seconds(chosen.since) if chosen.since else 0.0
    if since is None:
        raise BadInput(f"{chosen.since!r} is no time.", hint="Write it as 2026-11-24 or 2026-11-24T08:00.")
    assigner = _assigner(app, chosen.task) if chosen.task else None
    for call in reading(app, "export").calls(since=since):
        if chosen.trainable_only and not call.trainable:
            continue
        if assigner is None or assigner.assign(call.request) == chosen.task:
            yield call


def _assigner(app: App, task: str) -> Assigner:
    rules = state.load_assigner(app.store)
    names = {known.id for known in state.load_tasks(app.store)}
    if not rules or task not in names:
        raise NotFound(f"There is no task {task!r}.", hint="`offramp tasks` lists them.")
    return Assigner.from_dict(rules)
