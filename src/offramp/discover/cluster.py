"""Call sites: which prompts are one task.

Signatures come first and settle nearly everything: another tool list, response format or prompt is
another call site. What is left are prompts that differ in wording only, and tools that differ from call to
call, and the question whether the differing part is a slot (one task) or names different tasks. Three
things decide it: a shared template of at least a sentence, answers of one form, and an *open* set.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.discover.forms import Shape, partition
from offramp.discover.templates import MIN_VARIANTS, Template, mine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.discover.sighting import Sighting
    from offramp.discover.signature import Signature

UNSEEN_SHARE = 0.05
"""Share of sessions with a wording of their own from which a set of wordings counts as open: more
than this would go unrecognised tomorrow if every wording were a call site of its own."""

STANDALONE_SESSIONS = 59
"""Sessions with which a wording could carry a certificate alone (no error in 59: risk <= 5 % at 95 %)."""

MIN_CALLS = 2
"""A task recurs."""


@dataclass(slots=True)
class Variant:
    """All calls with one signature.

    Attributes:
        signature: Theirs.
        seen: The calls.
        sessions: Their sessions.
        wordings: Hashes of the prompts as they stand, values in place, where only these belong here;
            empty where the values make no difference.
    """

    signature: Signature
    seen: list[Sighting] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    wordings: tuple[str, ...] = ()

    def add(self, sighting: Sighting) -> None:
        """Take one more call."""
        self.seen.append(sighting)
        self.sessions.add(sighting.session)

    @property
    def shapes(self) -> list[Shape]:
        """Forms of the answers, calls that failed left out."""
        return [sighting.facts.shape for sighting in self.seen if sighting.facts is not None]

    @property
    def first(self) -> tuple[float, str]:
        """Time and id of the first call."""
        return min((sighting.at, sighting.call) for sighting in self.seen)


@dataclass(frozen=True, slots=True)
class Site:
    """One call site.

    Attributes:
        variants: Its signatures, first seen first.
        template: What they share where the site takes unseen wordings too, else None.
        rest: Whether it takes everything of its bucket that no other site takes.
        any_tools: Whether its tools differ from call to call, so that any are taken.
        living: Prompts in use, where the site has had several versions or speaks several languages.
    """

    variants: tuple[Variant, ...]
    template: Template | None = None
    rest: bool = False
    any_tools: bool = False
    living: tuple[str, ...] = ()

    @property
    def first(self) -> Signature:
        """The signature seen first."""
        return self.variants[0].signature

    @property
    def bucket(self) -> str:
        """What a request must have for the site's template, or the site as the rest, to apply."""
        return self.first.open_bucket if self.any_tools else self.first.bucket

    @property
    def text(self) -> str:
        """What is fixed in its prompt, slots shown as ``<*>``; "" where only the tools identify it."""
        if self.rest:
            return ""
        return self.template.text if self.template is not None else self.first.frame

    @property
    def key(self) -> str:
        """What its id is made from: stays the same while the first call of the site is kept."""
        return self.bucket if self.rest else "|".join((self.first.key, *self.variants[0].wordings[:1]))

    @property
    def seen(self) -> list[Sighting]:
        """All its calls."""
        return [sighting for variant in self.variants for sighting in variant.seen]

    @property
    def sessions(self) -> set[str]:
        """All its sessions."""
        return set[str]().union(*(variant.sessions for variant in self.variants))

    @property
    def shapes(self) -> list[Shape]:
        """Forms of all its answers."""
        return [shape for variant in self.variants for shape in variant.shapes]


def merge_wordings(wordings: Sequence[tuple[str, Variant]]) -> list[Variant]:
    """Join the prompts of one signature, which differ in values only.

    A value is taken as a slot unless the answers say otherwise: 'answer "yes" or "no"' and 'answer "a"
    or "b"' have one signature and are two call sites.

    Args:
        wordings: Hash of each prompt and its calls; at least one.
    """
    if len(wordings) == 1:
        return [wordings[0][1]]
    groups: dict[int, list[tuple[str, Variant]]] = defaultdict(list)
    for item, group in zip(wordings, partition([v.shapes for _, v in wordings]), strict=True):
        groups[group].append(item)
    merged: list[Variant] = []
    for items in groups.values():
        own = [variant for _, variant in items]
        merged.append(
            Variant(
                own[0].signature,
                [sighting for variant in own for sighting in variant.seen],
                set[str]().union(*(variant.sessions for variant in own)),
                tuple(sorted(wording for wording, _ in items)) if len(groups) > 1 else (),
            )
        )
    return merged


def sites_of(variants: Sequence[Variant]) -> list[Site]:
    """Group signatures into call sites.

    Args:
        variants: One per distinct signature.

    Returns:
        The sites, first seen first; signatures that do not recur are in none.
    """
    opened = _open_tools(variants)
    taken = {id(variant) for site in opened for variant in site.variants}
    buckets: dict[str, list[Variant]] = defaultdict(list)
    for variant in variants:
        if id(variant) not in taken:
            buckets[variant.signature.bucket].append(variant)
    closed = [site for bucket in buckets.values() for site in _bucket_sites(bucket)]
    sites = [site for site in (*opened, *closed) if len(site.seen) >= MIN_CALLS]
    return sorted(sites, key=lambda site: site.variants[0].first)


def _open_tools(variants: Iterable[Variant]) -> list[Site]:
    """Find the call sites whose tools are payload: they differ from call to call or from run to run.

    A tool list with sessions enough for a certificate is a call site of its own. The rare ones are one
    call site where their prompts are alike, or where there are none, and new lists keep coming.
    """
    lists: dict[tuple[str, str, str], list[Variant]] = defaultdict(list)
    for variant in variants:
        own = variant.signature
        if own.tools and not variant.wordings:
            lists[own.kind, own.form, own.tools].append(variant)
    rare: dict[tuple[str, str], list[Variant]] = defaultdict(list)
    for (kind, form, _), own_variants in lists.items():
        if len(set[str]().union(*(v.sessions for v in own_variants))) < STANDALONE_SESSIONS:
            rare[kind, form] += own_variants
    sites: list[Site] = []
    for (kind, _), group in rare.items():
        if kind == "user":
            sites += [_site(group, rest=True, any_tools=True)] if _tools_are_open(group) else []
        else:
            sites += _open_families(group)
    return sites


def _open_families(variants: Sequence[Variant]) -> list[Site]:
    frames: dict[str, list[Variant]] = defaultdict(list)
    for variant in variants:
        frames[variant.signature.frame].append(variant)
    distinct = list(frames)
    sites: list[Site] = []
    for family in mine(distinct, open_start=False):
        members = [v for index in family.members for v in frames.pop(distinct[index])]
        if _tools_are_open(members) and max(partition([v.shapes for v in members])) == 0:
            sites.append(_site(members, family.template, any_tools=True))
    for frame, members in frames.items():
        if _tools_are_open(members):
            whole = Template((frame,), open_start=False, open_end=False)
            sites.append(_site(members, whole, any_tools=True))
    return sites


def _tools_are_open(variants: Sequence[Variant]) -> bool:
    """Whether new tool lists keep coming: more than one session in twenty brings its own."""
    lists: dict[str, set[str]] = defaultdict(set)
    for variant in variants:
        lists[variant.signature.tools] |= variant.sessions
    sessions = set[str]().union(*lists.values())
    once = sum(1 for own in lists.values() if len(own) == 1)
    return len(lists) >= MIN_VARIANTS and once > UNSEEN_SHARE * len(sessions)


def _bucket_sites(variants: list[Variant]) -> list[Site]:
    first = variants[0].signature
    user = first.kind == "user"
    sites: list[Site] = []
    slotted = [variant for variant in variants if not variant.wordings]
    for family in mine([variant.signature.frame for variant in slotted], open_start=user):
        sites += _family_sites([slotted[index] for index in family.members], family.template)
    taken = {id(variant) for site in sites for variant in site.variants}
    left = [variant for variant in variants if id(variant) not in taken]
    if user and (first.tools or first.form):
        # Without a prompt the tools are the call site, and the message is its payload.
        sites += [_site(left, rest=True)] if left else []
    else:
        sites += [_site([variant]) for variant in left if variant.signature.frame]
    return sites


def _family_sites(variants: list[Variant], template: Template) -> list[Site]:
    groups: dict[int, list[Variant]] = defaultdict(list)
    for variant, group in zip(variants, partition([v.shapes for v in variants]), strict=True):
        groups[group].append(variant)
    if len(groups) > 1:
        # The wording decides between different tasks here, so only known wordings are assigned.
        return [site for group in groups.values() for site in _known_sites(group)]
    if variants[0].signature.kind == "user" or _is_open(variants):
        return [_site(variants, template)]
    rare = [variant for variant in variants if len(variant.sessions) < STANDALONE_SESSIONS]
    if len(rare) > 1 and _unseen_share(rare) > UNSEEN_SHARE:
        frequent = [variant for variant in variants if len(variant.sessions) >= STANDALONE_SESSIONS]
        return [_site(rare, template), *(_site([variant]) for variant in frequent)]
    return [_site([variant]) for variant in variants]


def _known_sites(variants: list[Variant]) -> list[Site]:
    return [_site(variants)] if _is_open(variants) else [_site([variant]) for variant in variants]


def _is_open(variants: Sequence[Variant]) -> bool:
    """Whether wordings keep coming: as many as the root of the sessions, or often seen once only."""
    sessions = set[str]().union(*(variant.sessions for variant in variants))
    return len(variants) ** 2 >= len(sessions) or _unseen_share(variants) > UNSEEN_SHARE


def _unseen_share(variants: Sequence[Variant]) -> float:
    sessions = set[str]().union(*(variant.sessions for variant in variants))
    return sum(1 for variant in variants if len(variant.sessions) == 1) / len(sessions)


def _site(
    variants: Iterable[Variant],
    template: Template | None = None,
    *,
    rest: bool = False,
    any_tools: bool = False,
) -> Site:
    return Site(tuple(sorted(variants, key=lambda v: v.first)), template, rest=rest, any_tools=any_tools)
