"""Splits by session and then by time, and the check that nothing leaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.dataset import PARTS
from offramp.core.errors import BadInput
from offramp.core.render import payload_of
from offramp.curate.dedupe import near_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.dataset import Item


@dataclass(frozen=True, slots=True)
class Shares:
    """Share of the calls that each part gets; together 1.

    The default leaves no test part: the calls of a later period, which nobody has seen, are the better
    test.
    """

    train: float = 0.55
    validation: float = 0.2
    calibration: float = 0.25
    test: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that are negative or do not add up.

        Raises:
            BadInput: Always then.
        """
        shares = self.of_parts()
        if min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
            shown = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            raise BadInput(f"shares are {shown}; they must not be negative and must add up to 1.")

    def of_parts(self) -> dict[str, float]:
        """Return the share of each part, in order of time."""
        return {name: float(getattr(self, name)) for name in PARTS}


@dataclass(frozen=True, slots=True)
class Leakage:
    """What parts share that they must not; all counts are 0 in a clean split.

    Attributes:
        sessions: Sessions with calls in more than one part.
        near_duplicates: Near-duplicate keys in more than one part.
        out_of_order: Sessions that begin before one of an earlier part does.
    """

    sessions: int
    near_duplicates: int
    out_of_order: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing leaks."""
        return not (self.sessions or self.near_duplicates or self.out_of_order)


def split(items: Sequence[Item], shares: Shares) -> dict[str, tuple[Item, ...]]:
    """Split items into parts by session, sessions in order of their first call.

    A session goes whole into the part in which its first call falls, so parts have their shares up to
    one session. Sessions that begin at the same time are ordered by their id.

    Returns:
        Items by part, in order of time; every item is in exactly one.
    """
    sessions: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: (item.call.at, item.call.id)):
        sessions.setdefault(session_of(item), []).append(item)
    ordered = sorted(sessions.items(), key=lambda pair: (pair[1][0].call.at, pair[0]))
    bounds: list[tuple[str, float]] = []
    total = 0.0
    for name, share in shares.of_parts().items():
        total += share * len(items)
        if share:
            bounds.append((name, total))
    parts: dict[str, list[Item]] = {name: [] for name in PARTS}
    before = 0
    for _, members in ordered:
        # The last part takes what rounding leaves over.
        name = next((name for name, bound in bounds if before < bound - 1e-6), bounds[-1][0])
        parts[name].extend(members)
        before += len(members)
    return {name: tuple(members) for name, members in parts.items()}


def find_leakage(parts: Mapping[str, Sequence[Item]], repeats: Mapping[str, Sequence[Item]]) -> Leakage:
    """Count what parts share, from the calls themselves and not from how they were split.

    Args:
        parts: Items by part.
        repeats: By part, what was set apart from it; a session may begin with a repeat.
    """
    sessions: dict[str, set[str]] = {}
    keys: dict[str, set[str]] = {}
    out_of_order = 0
    late = -math.inf
    for name in PARTS:
        begins: dict[str, float] = {}
        for item in (*parts.get(name, ()), *repeats.get(name, ())):
            session = session_of(item)
            sessions.setdefault(session, set()).add(name)
            begins[session] = min(item.call.at, begins.get(session, math.inf))
        for item in parts.get(name, ()):
            keys.setdefault(near_key(item.task, payload_of(item.call.request)), set()).add(name)
        out_of_order += sum(1 for at in begins.values() if at < late)
        late = max(late, *begins.values()) if begins else late
    return Leakage(
        sessions=sum(1 for names in sessions.values() if len(names) > 1),
        near_duplicates=sum(1 for names in keys.values() if len(names) > 1),
        out_of_order=out_of_order,
    )


def require_clean(leakage: Leakage) -> None:
    """Stop where a split leaks: every figure measured on it would be wrong.

    Raises:
        BadInput: Something leaks.
    """
    if not leakage.is_clean:
        raise BadInput(
            f"the split leaks: {leakage.sessions} sessions, {leakage.near_duplicates} near-duplicates are in "
            f"more than one part, {leakage.out_of_order} sessions are out of order; all must be 0.",
            hint="Split by session and time, and set repeats apart.",
        )


def session_of(item: Item) -> str:
    """Return the item's session; a call without one is its own."""
    return item.call.session or item.call.id
