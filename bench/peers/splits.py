"""Random splits: every system learns from, tunes on and is tested on the same calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.dataset import Dataset
from offramp.core.json import digest
from offramp.core.render import observe
from offramp.curate.dedupe import set_apart
from offramp.curate.split import Shares, find_leakage, require_clean, session_of, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.peers.traffic import Traffic

    from offramp.core.dataset import Item

SEED = 20261129
SHARES = Shares(train=0.6, validation=0.1, calibration=0.2, test=0.1)


@dataclass(frozen=True, slots=True)
class Split:
    """One random split of one traffic.

    Attributes:
        number: Its number, from 0: the seed of the draw.
        parts: Calls by part. No session and no near-duplicate is in two of them.
        set_apart: Calls left out because a near-duplicate stands in an earlier part.
        dataset: The same split as offramp's training takes it: the calls it keeps, rendered its way.
    """

    number: int
    parts: Mapping[str, tuple[Item, ...]]
    set_apart: int
    dataset: Dataset

    @property
    def fingerprint(self) -> str:
        """Hash of which call is in which part."""
        return digest([[row.call.id for row in rows] for rows in self.parts.values()], size=8)


def draw(traffic: Traffic, number: int, shares: Shares = SHARES) -> Split:
    """Draw one split by the product's own rules, with sessions in a random order of time.

    Args:
        traffic: What to split.
        number: Another number draws another split; the same one draws the same.
        shares: Share of the calls of each part.

    Raises:
        BadInput: The split leaks.
    """
    sessions = sorted({session_of(row) for row in traffic.rows})
    places = np.random.default_rng([SEED, number]).permutation(len(sessions))
    at = dict(zip(sessions, places.tolist(), strict=True))
    moved = [replace(row, call=replace(row.call, at=float(at[session_of(row)]))) for row in traffic.rows]
    parts, repeats = set_apart(split(moved, shares))
    require_clean(find_leakage(parts, repeats))
    return Split(number, parts, sum(map(len, repeats.values())), _dataset(traffic, parts))


def _dataset(traffic: Traffic, rows: Mapping[str, tuple[Item, ...]]) -> Dataset:
    parts = {
        name: tuple(traffic.kept[row.call.id] for row in part if row.call.id in traffic.kept)
        for name, part in rows.items()
    }
    tasks = tuple(task.id for task in traffic.unit.tasks) if traffic.unit else ()
    facts = {task: observe([item for item in parts["train"] if item.task == task]) for task in tasks}
    return Dataset(tasks, parts, dict.fromkeys(parts, ()), facts, card={})
