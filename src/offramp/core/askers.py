"""Who asked, and what enough of them said: one asker's words are nothing to say to another."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence, Set

    from offramp.core.dataset import Item

T = TypeVar("T", bound="Hashable")

MIN_ORIGINS = 5
"""Distinct askers of a task before anything of its messages is shown or kept, and of a word or an answer
before it is: what one person wrote is never an example."""

MASK = "…"
"""Stands for a word that too few askers used."""

# An escaped character of a JSON text is no word.
_WORD = re.compile(r"\\u[0-9a-fA-F]{4}|\\.|\w+")


def shared(
    items: Sequence[Item], said: Iterable[Iterable[T]], least: int = MIN_ORIGINS
) -> Set[tuple[str, T]]:
    """Find what was said in calls of enough askers of a task.

    An asker is an origin; where a task knows a single one, each of its sessions stands for an asker. Where a
    task has fewer askers than are asked for, all of them are.

    Args:
        items: The calls that are learned from.
        said: What there is to keep of each.
        least: Distinct askers at least.

    Returns:
        Pairs of a task and what may be kept of it. A call of no known origin lends no support where others
        have one.
    """
    askers = _askers(items)
    known: dict[str, set[str]] = defaultdict(set)
    heard: dict[tuple[str, T], set[str]] = defaultdict(set)
    for item, asker, things in zip(items, askers, said, strict=True):
        if asker:
            known[item.task].add(asker)
            for thing in things:
                heard[item.task, thing].add(asker)
    return {key for key, who in heard.items() if len(who) >= min(least, len(known[key[0]]))}


def words(text: str) -> set[str]:
    """Return the words of a text as they are counted: runs of letters and digits, in one case."""
    return {word.casefold() for word in _WORD.findall(text) if word[0] != "\\"}


def masked(text: str, task: str, kept: Set[tuple[str, str]]) -> str:
    """Return a text with only the words that may be kept; a number becomes 0, so that JSON stays JSON."""

    def shown(match: re.Match[str]) -> str:
        word = match[0]
        if word[0] == "\\" or (task, word.casefold()) in kept:
            return word
        return "0" if word.isdigit() else MASK

    return _WORD.sub(shown, text)


def _askers(items: Sequence[Item]) -> list[str]:
    origins: dict[str, set[str]] = defaultdict(set)
    for item in items:
        origins[item.task].update({item.call.origin} - {""})
    return [
        item.call.origin if len(origins[item.task]) > 1 else item.call.session or item.call.id
        for item in items
    ]
