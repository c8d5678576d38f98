"""Erasure: the calls of one person, what was built from them, and the proof that nothing is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.access import lineage
from offramp.access.search import Hit, search_files
from offramp.core.json import canonical
from offramp.core.ladder import VERBATIM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from offramp.access.lineage import Built, Folder
    from offramp.access.traces import Traces
    from offramp.storage.port import Store

DOCUMENTS = (
    "task",
    "conversion",
    "deployment",
    "confidence",
    "run",
    "audit",
    "retrain",
    "dataset",
    "key",
    "key_used",
    "audit_log",
)
"""Kinds of the documents that are searched for traces."""


@dataclass(frozen=True, slots=True)
class Found:
    """The calls of a person.

    Attributes:
        ids: Their ids.
        reasons: How many were found by what: ``origin``, ``session``, ``pseudonym``, ``surrogate``,
            ``value`` (which masking missed), ``id``.
        beside: Other calls of the same sessions, which hold no trace.
    """

    ids: tuple[str, ...]
    reasons: dict[str, int]
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Concerned:
    """A specialist that was fitted on calls of a person.

    Attributes:
        id: The specialist.
        kind: Its kind of candidate, as in `offramp.core.ladder.LADDER`.
        dataset: Hash of the dataset it was fitted on.
        calls: How many of the person's calls it was fitted on; None where it is older than lineage, so that
            nobody can tell.
        files: Its files, relative to the folder of specialists.
    """

    id: str
    kind: str
    dataset: str
    calls: int | None
    files: tuple[str, ...]

    @property
    def is_copy(self) -> bool:
        """Whether it keeps words of single training calls, as what was left unfinished may."""
        return not self.kind or self.kind in VERBATIM


@dataclass(frozen=True, slots=True)
class Proof:
    """What a search after the erasure found.

    Attributes:
        calls: Calls that still hold a trace; 0 where all is well.
        documents: Documents that do, as ``kind/key``.
        files: Files that do, with the kind of trace.
        searched_calls: Calls searched, decrypted.
        searched_files: Files searched, as they lie on the disk.
        searched_bytes: Their bytes.
    """

    calls: int
    documents: tuple[str, ...]
    files: tuple[Hit, ...]
    searched_calls: int
    searched_files: int
    searched_bytes: int

    @property
    def clean(self) -> bool:
        """Whether nothing is left."""
        return not (self.calls or self.documents or self.files)


def find(store: Store, traces: Traces) -> Found:
    """Read every call and tell which are the person's."""
    reasons: Counter[str] = Counter()
    ids: list[str] = []
    own: set[str] = set()
    sessions: dict[str, list[str]] = {}
    for call in store.calls():
        sessions.setdefault(call.session or call.id, []).append(call.id)
        if reason := traces.reason(call):
            reasons[reason] += 1
            ids.append(call.id)
            own.add(call.session or call.id)
    taken = set(ids)
    beside = [number for session in own for number in sessions[session] if number not in taken]
    return Found(tuple(ids), dict(reasons), tuple(sorted(beside)))


def concerned(built: Sequence[Built], folders: Iterable[Folder], known: Iterable[str]) -> list[Concerned]:
    """Tell which specialists were fitted on a person's calls, or may have been.

    Args:
        built: The datasets that hold any of the calls.
        folders: The specialists on the disk.
        known: Hashes of all datasets whose lineage is known.
    """
    fitted = {one.dataset: one.fitted for one in built}
    there = set(known)
    found = []
    for folder in folders:
        calls = fitted.get(folder.dataset, 0) if folder.dataset in there else None
        if calls != 0:
            found.append(Concerned(folder.id, folder.kind, folder.dataset, calls, folder.files))
    return found


def datasets(store: Store) -> list[str]:
    """Name the datasets whose lineage is known."""
    return list(store.documents(lineage.DATASET))


def prove(store: Store, traces: Traces, ids: Sequence[str], places: Sequence[Path]) -> Proof:
    """Look for anything that is left: in every call and document, decrypted, and in every file as it is.

    Args:
        store: Holds what is left.
        traces: What is looked for.
        ids: Ids of the calls that were removed; no file may name them either.
        places: Folders whose files are searched.
    """
    left = searched = 0
    for call in store.calls():
        searched += 1
        left += bool(traces.reason(call))
    documents = [
        f"{kind}/{key}"
        for kind in DOCUMENTS
        for key, value in store.documents(kind).items()
        if traces.of_text(canonical([key, value]))
    ]
    needles = {**{number.encode(): "id of a removed call" for number in ids}, **traces.needles()}
    hits, files, size = search_files(places, needles)
    return Proof(left, tuple(documents), tuple(hits), searched, files, size)
