"""The ladder: makes a candidate of any kind for a unit, and opens what was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import EngineError, OfframpError
from offramp.core.json import digest
from offramp.core.measure import Measure, default_of
from offramp.engine.specialist import CARD, Card
from offramp.loop.candidates import CANDIDATES, candidate_of
from offramp.loop.workshop import Brief, Tools, Workshop

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.engine.specialist import Specialist
    from offramp.loop.candidates import Candidate

__all__ = ["Brief", "Tools", "Workshop", "make", "open_specialist", "was_made"]


def make(kind: str, brief: Brief, workshop: Workshop) -> Specialist:
    """Train one kind of candidate, or open the one that the same data made before.

    Raises:
        OfframpError: The kind cannot do this task; the message says why.
        BadInput: There is no such kind.
    """
    candidate = candidate_of(kind)
    if reason := candidate.can(brief, workshop):
        raise OfframpError(reason)
    card = _card(candidate, brief, workshop)
    folder = workshop.folder / card.id
    if (folder / CARD).exists():
        return candidate.open(folder, workshop.tools)
    folder.mkdir(parents=True, exist_ok=True)
    return candidate.make(card, folder, brief, workshop)


def was_made(kind: str, brief: Brief, workshop: Workshop) -> bool:
    """Whether the same data made this kind of candidate before."""
    card = _card(candidate_of(kind), brief, workshop)
    return (workshop.folder / card.id / CARD).exists()


def open_specialist(folder: Path, tools: Tools) -> Specialist:
    """Open a specialist's folder, whatever its kind.

    Raises:
        EngineError: The folder holds none, or one of a kind that this version does not know.
    """
    kind = Card.load(folder).kind
    if kind not in CANDIDATES:
        raise EngineError(
            f"{folder} holds a specialist of kind {kind!r}; known are {', '.join(CANDIDATES)}.",
            hint="Train it again with this version: offramp convert.",
        )
    return CANDIDATES[kind].open(folder, tools)


def _card(candidate: Candidate, brief: Brief, workshop: Workshop) -> Card:
    versions = sorted(task.version for task in brief.unit.tasks)
    kind, base = candidate.kind, candidate.base(workshop)
    made_of: list[object] = [kind, versions, brief.fingerprint, base, candidate.recipe(workshop)]
    if brief.unit.measure is not default_of(brief.unit.output):
        # Its confidence and threshold are of one measure, and belong to one id.
        made_of.append(brief.unit.measure)
    if brief.unit.measure is Measure.JUDGE and workshop.judge is not None:
        made_of.append(workshop.judge.name)
    identity = digest(made_of, size=5)
    return Card(f"{kind}-{identity}", kind, brief.cards, base, brief.fingerprint, workshop.clock())
