"""Erasure of a person's calls from an installation, in an order that may be cut at any point and repeated."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from offramp.access import lineage
from offramp.access.erase import Concerned, Found, Proof, concerned, datasets, find, prove
from offramp.access.roles import Action
from offramp.access.traces import trace
from offramp.app.security import audit_of, reading
from offramp.loop import state
from offramp.loop.judge import forget_verdicts
from offramp.record.folder import ring_folders

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from offramp.access.lineage import Built
    from offramp.access.traces import Traces
    from offramp.app.build import App
    from offramp.core.json import JsonObject

_PASSES = 5
_SETTLE_S = 0.5
_REASON = "Fitted on {} calls that have been erased."
_UNKNOWN = "Fitted before it was written down on which calls; some have been erased since."


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was, or is to be, erased.

    Attributes:
        found: The calls.
        removed: How many of them the store no longer holds.
        built: The datasets that were built from them.
        certificates: Specialists whose certificate was reckoned from some of them.
        specialists: Specialists that were fitted on some of them.
        retired: Those that are out of service, their folders removed.
        marked: Those that have to be trained again, and serve until then.
        proof: What a search found afterwards; None for a dry run.
    """

    found: Found
    removed: int = 0
    built: tuple[Built, ...] = ()
    certificates: tuple[str, ...] = ()
    specialists: tuple[Concerned, ...] = ()
    retired: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    proof: Proof | None = None

    def to_dict(self) -> JsonObject:
        """Render as a JSON object; ids of calls are counted, not named."""
        proof = None if self.proof is None else {"clean": self.proof.clean, **asdict(self.proof)}
        return {
            "found": len(self.found.ids),
            "by": self.found.reasons,
            "others_in_their_sessions": len(self.found.beside),
            "removed": self.removed,
            "datasets": [asdict(one) for one in self.built],
            "certificates": list(self.certificates),
            "specialists": [asdict(one) for one in self.specialists],
            "retired": list(self.retired),
            "marked_for_retraining": list(self.marked),
            "proof": proof,
        }


def erase(
    app: App, subject: str, *, dry_run: bool = False, whole_sessions: bool = False, retire: bool = False
) -> Erasure:
    """Remove a person's calls and tell what had been built from them.

    Specialists are marked, and those that keep words of calls retired, before the calls go: what was cut
    short is found again.

    Args:
        app: The installation.
        subject: A value of theirs: address, number, name, user or session id, key.
        dry_run: Only look.
        whole_sessions: Also take the other calls of the sessions that hold a trace.
        retire: Take every specialist fitted on their calls out of service now, and remove its folder. One
            that holds words of training calls (a cache, templates, examples) is taken out in any case.

    Raises:
        BadInput: The subject is too short to be looked for.
        StorageError: Store or audit log cannot be written.
    """
    traces = trace(subject, lambda value: app.redactor.redact(value).value, app.pseudonyms.of)
    found = find(reading(app, "erase: search"), traces)
    plan = _planned(app, found, whole_sessions=whole_sessions)
    if dry_run:
        return plan
    ids = _ids(found, whole_sessions=whole_sessions)
    audit_of(app).write(Action.ERASE, "a subject", count=len(ids), ids=ids)
    retired = [one.id for one in plan.specialists if retire or one.is_copy]
    marked = [one for one in plan.specialists if one.id not in retired]
    for one in marked:
        state.mark_for_retraining(
            app.store, one.id, _UNKNOWN if one.calls is None else _REASON.format(one.calls)
        )
    for specialist in retired:
        retire_specialist(app, specialist)
    removed, ids = _removed(app, traces, ids, whole_sessions=whole_sessions)
    lineage.forget(app.store, ids)
    # Hashes of answers, which are asked for again; whose they are nobody knows.
    forget_verdicts(app.store)
    proof = prove(reading(app, "erase: proof"), traces, ids, _places(app))
    said = "nothing is left" if proof.clean else "traces are left"
    audit_of(app).write(Action.ERASE, f"proof: {said}", count=len(ids), ids=ids)
    return replace(
        plan, removed=removed, retired=tuple(retired), marked=tuple(one.id for one in marked), proof=proof
    )


def retire_marked(app: App) -> list[str]:
    """Take every specialist that has to be trained again out of service, and remove its folder."""
    marked = sorted(state.marked_for_retraining(app.store))
    for specialist in marked:
        retire_specialist(app, specialist)
    return marked


def retire_specialist(app: App, specialist: str) -> None:
    """Take a specialist out of service and remove its folder."""
    audit_of(app).write(Action.ERASE, f"retire {specialist}")
    state.retire(app.store, specialist, "Retired: it was fitted on calls that have been erased.")
    shutil.rmtree(app.settings.specialists_path / specialist, ignore_errors=True)


def _planned(app: App, found: Found, *, whole_sessions: bool) -> Erasure:
    ids = _ids(found, whole_sessions=whole_sessions)
    if not ids:
        return Erasure(found)
    built = lineage.built_from(app.store, ids)
    folders = lineage.folders(app.settings.specialists_path)
    reckoned = {one.dataset for one in built if one.certified}
    return Erasure(
        found,
        built=tuple(built),
        certificates=tuple(_certified(app, [one.id for one in folders if one.dataset in reckoned])),
        specialists=tuple(concerned(built, folders, datasets(app.store))),
    )


def _certified(app: App, specialists: Iterable[str]) -> list[str]:
    proven = {
        value["specialist"]
        for value in app.store.documents(state.CONVERSION).values()
        if value["certificate"]
    }
    return [specialist for specialist in specialists if specialist in proven]


def _ids(found: Found, *, whole_sessions: bool) -> list[str]:
    return [*found.ids, *(found.beside if whole_sessions else ())]


def _removed(app: App, traces: Traces, ids: list[str], *, whole_sessions: bool) -> tuple[int, list[str]]:
    """Remove, and again what a running gateway hands over meanwhile."""
    removed = app.store.remove(ids)
    for _ in range(_PASSES):
        if not _in_flight(app):
            break
        time.sleep(_SETTLE_S + 2 * app.settings.record.commit_ms / 1000)
        late = _ids(find(reading(app, "erase: calls in flight"), traces), whole_sessions=whole_sessions)
        if not late:
            break
        removed += app.store.remove(late)
        ids = [*ids, *late]
    return removed, ids


def _in_flight(app: App) -> bool:
    folders = ring_folders(app.settings.home, app.settings.record.ring_folder)
    return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)


def _places(app: App) -> list[Path]:
    return [app.settings.home, *ring_folders(app.settings.home, app.settings.record.ring_folder)]
