"""One task under several prompts: a prompt that was reworded, and a prompt in several languages.

Both are other signatures, and both are the same task. What shows it is not the wording alone: 18 prompts of a
home assistant differ in one word and are 18 call sites. A reworded prompt takes the place of the one before
it: the old one ends where the new one begins. A translated one runs beside the other, in another language,
with the same tools or the same closed set of answers.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.discover.forms import MIN_ANSWERS, evidence_of
from offramp.discover.language import language_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from offramp.discover.cluster import Site
    from offramp.discover.forms import Shape

ALIKE = 0.5
"""Share of words that a reworded prompt keeps at least."""

ROLLOUT = 0.05
"""Share of either prompt's calls that may overlap while a new version is rolled out."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Era:
    """When a site was called.

    Attributes:
        first: Time of the first call.
        start: Time before which at most one call in twenty lies.
        end: Time after which at most one call in twenty lies.
        last: Time of the last call.
        pause: The longest time between two calls.
    """

    first: float
    start: float
    end: float
    last: float
    pause: float


def joined(sites: Sequence[Site]) -> list[Site]:
    """Join the sites that are one task.

    Args:
        sites: In order of their first calls.

    Returns:
        The sites in the same order; a joined one stands where its earliest part stood.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, site in enumerate(sites):
        if site.first.kind == "system" and site.template is None and not site.any_tools:
            groups[site.first.kind, site.first.form].append(index)
    parent = list(range(len(sites)))
    replaced: set[int] = set()
    for members in groups.values():
        known = [i for i in members if len(sites[i].sessions) >= MIN_ANSWERS]
        successions = _successions(sites, known)
        replaced |= {older for older, _ in successions}
        for one, other in (*successions, *_translations(sites, known)):
            _join(parent, one, other)
    return _collect(sites, parent, replaced)


def similarity(one: str, other: str) -> float:
    """Return the share of words that two prompts have in common, 0 to 1."""
    a, b = (Counter(_WORD.findall(text.casefold())) for text in (one, other))
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 0.0


def compatible(one: Iterable[Shape], other: Iterable[Shape]) -> bool:
    """Whether answers may come from one task: of one form and, where both are closed sets, not disjoint."""
    (kind, values), (other_kind, others) = evidence_of(list(one)), evidence_of(list(other))
    return kind == other_kind and (not values or not others or bool(values & others))


def tools_alike(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two tool lists may be versions of one: both empty, or half of the names in common."""
    a, b = set(one), set(other)
    return len(a & b) * 2 >= len(a | b)


def _successions(sites: Sequence[Site], members: Sequence[int]) -> list[tuple[int, int]]:
    """Find prompts that took another's place: each the other's most similar neighbour in time."""
    eras = {index: _era([s.at for s in sites[index].seen]) for index in members}
    likes = [
        (similarity(sites[older].text, sites[newer].text), older, newer)
        for older in members
        for newer in members
        if _follows(eras[older], eras[newer]) and _same_work(sites[older], sites[newer])
    ]
    pairs: list[tuple[int, int]] = []
    succeeded: set[int] = set()
    preceded: set[int] = set()
    for like, older, newer in sorted(likes, key=lambda item: (-item[0], item[1], item[2])):
        if like >= ALIKE and older not in succeeded and newer not in preceded:
            pairs.append((older, newer))
            succeeded.add(older)
            preceded.add(newer)
    return pairs


def _translations(sites: Sequence[Site], members: Sequence[int]) -> list[tuple[int, int]]:
    spoken = {index: language_of(sites[index].text) for index in members}
    pairs = []
    for position, one in enumerate(members):
        for other in members[position + 1 :]:
            differ = spoken[one] and spoken[other] and spoken[one] != spoken[other]
            if differ and _same_outcome(sites[one], sites[other]):
                pairs.append((one, other))
    return pairs


def _same_outcome(one: Site, other: Site) -> bool:
    """Whether both lead to the same tools, or to mostly the same labels."""
    (kind, values), (other_kind, others) = evidence_of(one.shapes), evidence_of(other.shapes)
    if not kind or kind != other_kind or one.first.tools != other.first.tools:
        return False
    shared = len(values & others) * 2 >= len(values | others) and len(values & others) > 1
    return shared or (bool(one.first.tools) and not (values and others and not values & others))


def _same_work(one: Site, other: Site) -> bool:
    return tools_alike(_tools(one), _tools(other)) and compatible(one.shapes, other.shapes)


def _tools(site: Site) -> tuple[str, ...]:
    return site.variants[0].seen[0].tools.names


def _era(times: Sequence[float]) -> _Era:
    ordered = sorted(times)
    spare = int(len(ordered) * ROLLOUT)
    pause = max((b - a for a, b in itertools.pairwise(ordered)), default=0.0)
    return _Era(ordered[0], ordered[spare], ordered[len(ordered) - 1 - spare], ordered[-1], pause)


def _follows(older: _Era, newer: _Era) -> bool:
    """Whether one ends where the other begins, with no pause twice as long as either makes itself."""
    return older.end < newer.start and newer.first - older.last <= 2 * max(older.pause, newer.pause)


def _join(parent: list[int], one: int, other: int) -> None:
    a, b = _root(parent, one), _root(parent, other)
    parent[max(a, b)] = min(a, b)


def _root(parent: Sequence[int], index: int) -> int:
    while parent[index] != index:
        index = parent[index]
    return index


def _collect(sites: Sequence[Site], parent: Sequence[int], replaced: Container[int]) -> list[Site]:
    parts: dict[int, list[int]] = defaultdict(list)
    for index in range(len(sites)):
        parts[_root(parent, index)].append(index)
    return [_whole(sites, own, replaced) for own in parts.values()]


def _whole(sites: Sequence[Site], parts: Sequence[int], replaced: Container[int]) -> Site:
    if len(parts) == 1:
        return sites[parts[0]]
    variants = sorted((v for index in parts for v in sites[index].variants), key=lambda v: v.first)
    living = tuple(sites[index].text for index in parts if index not in replaced)
    return replace(sites[parts[0]], variants=tuple(variants), living=living)
