"""Near-duplicates: calls whose payloads differ in case, punctuation and spaces only."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.dataset import PARTS
from offramp.core.json import digest
from offramp.core.render import payload_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.dataset import Item

_SEPARATORS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How repetitive a dataset is.

    Attributes:
        exact: Calls whose very payload occurs earlier.
        near: Calls whose near-duplicate occurs earlier, exact ones included.
    """

    exact: int
    near: int


def normalised(text: str) -> str:
    """Fold case and drop punctuation and spacing; letters and digits stay.

    Text without any letter or digit is kept as it is, or all of it would be one.
    """
    folded = _SEPARATORS.sub(" ", text.casefold()).strip()
    return folded or text


def near_key(task: str, text: str) -> str:
    """Return a hash that payloads of one task share where they are near-duplicates."""
    return digest([task, normalised(text)], size=12)


def count(items: Sequence[Item]) -> Duplicates:
    """Count the calls that repeat another."""
    payloads = Counter((item.task, payload_of(item.call.request)) for item in items)
    keys = Counter(item.key for item in items)
    return Duplicates(exact=len(items) - len(payloads), near=len(items) - len(keys))


def set_apart(
    parts: Mapping[str, Sequence[Item]],
) -> tuple[dict[str, tuple[Item, ...]], dict[str, tuple[Item, ...]]]:
    """Take out of each part the calls whose near-duplicate stands in an earlier part.

    Returns:
        The parts without them, and by part what was taken out. Nothing is taken out of the first part.
    """
    clean: dict[str, tuple[Item, ...]] = {}
    repeats: dict[str, tuple[Item, ...]] = {}
    seen: set[str] = set()
    for name in PARTS:
        items = parts.get(name, ())
        clean[name] = tuple(item for item in items if item.key not in seen)
        repeats[name] = tuple(item for item in items if item.key in seen)
        seen.update(item.key for item in items)
    return clean, repeats
