"""Call sites: which prompts are one task.

Signatures come first and settle nearly everything: another tool list, response format or prompt is
another call site. What is left are prompts that differ in wording only, and the question whether the
differing words are a slot (one task) or name different tasks. Three things decide it: a shared template
of at least a sentence, answers of one form, and an *open* set of wordings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from offramp.discover.forms import Shape, partition
from offramp.discover.templates import Template, mine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        calls: Indices of the calls, in order of arrival.
        sessions: Their sessions.
        shapes: Forms of their answers, errors left out.
        wordings: Hashes of the prompts as they stand, values in place, where only these belong here;
            empty where the values make no difference.
    """

    signature: Signature
    calls: list[int] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    shapes: list[Shape] = field(default_factory=list)
    wordings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """One call site.

    Attributes:
        variants: Its signatures, first seen first.
        template: What they share where the site takes unseen wordings too, else None.
        rest: Whether it takes everything of its bucket that no other site takes.
    """

    variants: tuple[Variant, ...]
    template: Template | None = None
    rest: bool = False

    @property
    def first(self) -> Signature:
        """The signature seen first."""
        return self.variants[0].signature

    @property
    def text(self) -> str:
        """What is fixed in its prompt, slots shown as ``<*>``; "" where only the tools identify it."""
        if self.rest:
            return ""
        return self.template.text if self.template is not None else self.first.frame

    @property
    def key(self) -> str:
        """What its id is made from: stays the same while the first call of the site is kept."""
        return self.first.bucket if self.rest else "|".join((self.first.key, *self.variants[0].wordings[:1]))

    @property
    def calls(self) -> list[int]:
        """Indices of all its calls, in order of arrival."""
        return sorted(index for variant in self.variants for index in variant.calls)


def merge_wordings(wordings: Sequence[tuple[str, Variant]]) -> list[Variant]:
    """Join the prompts of one signature, which differ in values only.

    A value is taken as a slot unless the answers say otherwise: 'answer "yes" or "no"' and 'answer "a"
    or "b"' have one signature and are two call sites.

    Args:
        wordings: Hash of each prompt and its calls; at least one.
    """
    groups: dict[int, list[tuple[str, Variant]]] = defaultdict(list)
    for item, group in zip(wordings, partition([v.shapes for _, v in wordings]), strict=True):
        groups[group].append(item)
    merged: list[Variant] = []
    for items in groups.values():
        own = [variant for _, variant in items]
        merged.append(
            Variant(
                own[0].signature,
                sorted(index for variant in own for index in variant.calls),
                set[str]().union(*(variant.sessions for variant in own)),
                [shape for variant in own for shape in variant.shapes],
                tuple(sorted(wording for wording, _ in items)) if len(groups) > 1 else (),
            )
        )
    return merged


def sites_of(variants: Iterable[Variant]) -> list[Site]:
    """Group signatures into call sites.

    Args:
        variants: One per distinct signature.

    Returns:
        The sites, first seen first; signatures that do not recur are in none.
    """
    buckets: dict[str, list[Variant]] = defaultdict(list)
    for variant in variants:
        buckets[variant.signature.bucket].append(variant)
    sites = [site for bucket in buckets.values() for site in _bucket_sites(bucket)]
    return sorted(sites, key=lambda site: site.calls[0])


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
    return [site for site in sites if len(site.calls) >= MIN_CALLS]


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


def _site(variants: Iterable[Variant], template: Template | None = None, *, rest: bool = False) -> Site:
    return Site(tuple(sorted(variants, key=lambda v: v.calls[0])), template, rest=rest)
