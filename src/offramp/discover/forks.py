"""Several tasks behind one prompt, told apart by an instruction that the first user message carries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.discover.cluster import MIN_CALLS, STANDALONE_SESSIONS
from offramp.discover.forms import PURE, evidence_of, partition
from offramp.discover.openings import Side
from offramp.discover.versions import ALIKE, similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.discover.cluster import Site
    from offramp.discover.sighting import Sighting


@dataclass(frozen=True, slots=True)
class Branch:
    """One of the tasks behind a prompt.

    Attributes:
        instructions: Hashes of its instructions, first seen first.
        text: The first one in words.
        seen: Its calls.
    """

    instructions: tuple[int, ...]
    text: str
    seen: list[Sighting]


@dataclass(frozen=True, slots=True)
class Split:
    """How a call site falls apart.

    Attributes:
        side: Where the instruction stands.
        branches: The tasks, at least two.
        rest: Calls with another instruction; they stay the site's own.
    """

    side: Side
    branches: tuple[Branch, ...]
    rest: list[Sighting]


def split_of(site: Site, words: Callable[[int], str]) -> Split | None:
    """Find several tasks in a call site, None where it is one.

    A split needs instructions that could each carry a certificate alone, and that nine calls in ten have:
    how people open a conversation recurs too, and is no instruction.

    Args:
        site: With a prompt; without one the message's own template is the call site already.
        words: The instruction of a hash.
    """
    if site.first.kind != "system":
        return None
    seen = sorted(site.seen, key=lambda s: (s.at, s.call))
    for side in Side:
        groups: dict[int, list[Sighting]] = defaultdict(list)
        for sighting in seen:
            groups[sighting.head if side is Side.HEAD else sighting.tail].append(sighting)
        usual = {
            key: own
            for key, own in groups.items()
            if key and len({s.session for s in own}) >= STANDALONE_SESSIONS
        }
        if len(usual) > 1 and sum(map(len, usual.values())) >= PURE * len(seen):
            branches = _branches(usual, words)
            if len(branches) > 1:
                taken = {key for branch in branches for key in branch.instructions}
                rest = [s for key, own in groups.items() if key not in taken for s in own]
                return Split(side, branches, rest if len(rest) >= MIN_CALLS else [])
    return None


def _branches(usual: dict[int, list[Sighting]], words: Callable[[int], str]) -> tuple[Branch, ...]:
    keys = list(usual)
    answers = [[s.facts.shape for s in usual[key] if s.facts is not None] for key in keys]
    closed = [bool(evidence_of(shapes)[1]) for shapes in answers]
    groups: list[list[int]] = []
    forms = partition(answers)
    for index, key in enumerate(keys):
        # Answers of one closed set are one task, however it is asked for; free text tells nothing, so
        # there only a like instruction is the same one ("Customer: gold", "Customer: silver").
        same = next(
            (
                own
                for own in groups
                if forms[own[0]] == forms[index]
                and (closed[index] or similarity(words(keys[own[0]]), words(key)) >= ALIKE)
            ),
            None,
        )
        if same is None:
            groups.append([index])
        else:
            same.append(index)
    return tuple(_branch([keys[index] for index in own], usual, words) for own in groups)


def _branch(keys: Sequence[int], usual: dict[int, list[Sighting]], words: Callable[[int], str]) -> Branch:
    return Branch(tuple(keys), words(keys[0]), [s for key in keys for s in usual[key]])
