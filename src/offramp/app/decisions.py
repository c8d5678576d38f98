"""Which candidate was taken for each unit, and why: what a night has decided, from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.loop import state

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.storage.port import Store


@dataclass(frozen=True, slots=True)
class Considered:
    """One kind of candidate for one unit.

    Attributes:
        kind: The kind.
        measured: Whether it was measured.
        agreement: Share of validation calls that it answers as the teacher did.
        coverage: Share that it was expected to be certified for.
        per_call: Measured seconds of one answer, asked in batches.
        usd_per_1000: What 1,000 calls cost.
        reason: What became of it, in words.
    """

    kind: str
    measured: bool
    agreement: float
    coverage: float
    per_call: float
    usd_per_1000: float
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The candidates of one unit.

    Attributes:
        name: The unit's name.
        tasks: Ids of its tasks.
        chosen: The kind that validation calls chose.
        considered: All of them, the chosen one first.
    """

    name: str
    tasks: tuple[str, ...]
    chosen: str
    considered: tuple[Considered, ...]


def decisions(store: Store) -> list[Decision]:
    """Read what was decided, most tasks first."""
    found = [_decision(value) for value in store.documents(state.CONVERSION).values()]
    return sorted(found, key=lambda one: (-len(one.tasks), one.name))


def render_decisions(found: list[Decision]) -> str:
    """Lay decisions out as text: a line per unit, and one for each kind below it."""
    lines = []
    for decision in found:
        lines.append(f"{decision.name}: {decision.chosen}")
        for one in decision.considered:
            figures = (
                f"agrees {one.agreement:6.1%}, could answer {one.coverage:4.0%}, "
                f"{1000 * one.per_call:8.2f} ms, {one.usd_per_1000:.4f} USD per 1,000"
                if one.measured
                else "not tried"
            )
            lines.append(f"  {one.kind:<11} {figures}: {one.reason}")
    return "\n".join(lines)


def _decision(value: JsonObject) -> Decision:
    chosen = value["chosen"]["kind"]
    considered = [_considered(trial) for trial in value["trials"]]
    considered.sort(key=lambda one: (one.kind != chosen, not one.measured, -one.coverage))
    return Decision(value["name"], tuple(value["tasks"]), chosen, tuple(considered))


def _considered(trial: JsonObject) -> Considered:
    # Conversions of earlier versions say neither what a call costs nor why.
    return Considered(
        kind=trial["kind"],
        measured=not trial["note"],
        agreement=trial["agreement"],
        coverage=trial["coverage"],
        per_call=trial.get("per_call", 0.0),
        usd_per_1000=trial.get("usd_per_1000", 0.0),
        reason=trial["note"] or trial.get("verdict", ""),
    )
