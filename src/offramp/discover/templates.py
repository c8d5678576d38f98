"""Templates: fixed text with free-form slots, mined from prompts that differ.

A template is a list of anchors, the stretches of text that all its prompts share, in order. Mining
groups prompts by cheap keys (how they open, how they close), aligns each group word by word, and
keeps what survives. Matching an unseen prompt is a handful of substring searches.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.discover.signature import SLOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MIN_VARIANTS = 3
"""Two prompts that share text may do so by chance of wording; a slot shows from three on."""

MIN_FIXED_WORDS = 8
"""Fewer shared words than a sentence identify nothing ("You are a helpful assistant.")."""

MIN_COLON_WORDS = 2
"""Before a colon a shorter opening suffices: "Translate to French: ..."."""

MIN_INNER_WORDS = 3
"""A shorter shared stretch between two slots is wording, not template."""

SAMPLE = 24
"""Prompts aligned with each other; the rest are only checked against the result."""

KEPT_WORDS = 0.75
"""Share of a template's words that must survive aligning the prompts it did not match."""

_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class Template:
    """Fixed stretches of text with a free-form slot between any two.

    Attributes:
        anchors: The stretches, in order; at least one.
        open_start: Whether a slot comes before the first.
        open_end: Whether a slot comes after the last.
    """

    anchors: tuple[str, ...]
    open_start: bool
    open_end: bool

    def matches(self, text: str) -> bool:
        """Whether a skeleton is this template with its slots filled."""
        first = 0
        position = 0
        if not self.open_start:
            if not text.startswith(self.anchors[0]):
                return False
            first, position = 1, len(self.anchors[0])
        last = len(self.anchors) if self.open_end else len(self.anchors) - 1
        for anchor in self.anchors[first:last]:
            found = text.find(anchor, position)
            if found < 0:
                return False
            position = found + len(anchor)
        if self.open_end or last < first:
            return self.open_end or position == len(text)
        return text.endswith(self.anchors[-1]) and len(text) - len(self.anchors[-1]) >= position

    @property
    def text(self) -> str:
        """The template as readable text, slots shown as ``<*>``."""
        body = SLOT.join(self.anchors)
        return (SLOT if self.open_start else "") + body + (SLOT if self.open_end else "")

    @property
    def words(self) -> int:
        """Number of fixed words."""
        return sum(len(anchor.split()) for anchor in self.anchors)


@dataclass(frozen=True, slots=True)
class Family:
    """Prompts of one template.

    Attributes:
        template: What they share.
        members: Indices into the texts that were mined.
    """

    template: Template
    members: tuple[int, ...]


def mine(texts: Sequence[str], *, open_start: bool) -> list[Family]:
    """Find the templates among distinct texts.

    Args:
        texts: Distinct skeletons.
        open_start: Whether a template may begin with a slot. System prompts open with who the agent
            is, so there they may not; a first user message may begin with its payload.

    Returns:
        Families of at least three texts each, disjoint; texts without a template are in none.
    """
    left = sorted(range(len(texts)), key=lambda i: texts[i])
    families: dict[Template, tuple[int, ...]] = {}
    for key_of in _KEYS if open_start else _KEYS[:-1]:
        groups: dict[str, list[int]] = defaultdict(list)
        for index in left:
            key = key_of(texts[index])
            if key:
                groups[key].append(index)
        taken: set[int] = set()
        for _, members in sorted(groups.items()):
            for part in _refined(texts, members):
                family = _family(texts, part)
                if family is not None:
                    # Parts of a group that share no more than the group does are one family again.
                    families[family.template] = families.get(family.template, ()) + family.members
                    taken.update(family.members)
        left = [index for index in left if index not in taken]
    return [Family(template, members) for template, members in families.items()]


def align(texts: Iterable[str]) -> Template | None:
    """Return what all the texts share, word by word and in order, None where that is nothing."""
    fixed: _Aligned | None = None
    for text in texts:
        words = _WORD.findall(text)
        fixed = _Aligned(words, [False] * len(words), open_end=False) if fixed is None else fixed.with_(words)
    return fixed.template() if fixed is not None else None


class _Aligned:
    """Words that all texts so far share; ``gaps[i]`` says whether a slot comes before word ``i``."""

    __slots__ = ("gaps", "open_end", "words")

    def __init__(self, words: list[str], gaps: list[bool], *, open_end: bool) -> None:
        self.words = words
        self.gaps = gaps
        self.open_end = open_end

    def with_(self, other: list[str]) -> _Aligned:
        head = _common(self.words, other)
        tail = _common(self.words[head:][::-1], other[head:][::-1])
        end, other_end = len(self.words) - tail, len(other) - tail
        blocks = [(0, 0, head)] if head else []
        matcher = difflib.SequenceMatcher(None, self.words[head:end], other[head:other_end], autojunk=False)
        blocks += [(a + head, b + head, size) for a, b, size in matcher.get_matching_blocks() if size]
        blocks += [(end, other_end, tail)] if tail else []
        words: list[str] = []
        gaps: list[bool] = []
        here = there = 0
        for a, b, size in blocks:
            words += self.words[a : a + size]
            skipped = a != here or b != there or any(self.gaps[here : a + 1])
            gaps += [skipped, *self.gaps[a + 1 : a + size]]
            here, there = a + size, b + size
        ended = self.open_end or here != len(self.words) or there != len(other)
        return _Aligned(words, gaps, open_end=ended)

    def template(self) -> Template | None:
        stretches: list[list[str]] = []
        for word, gap in zip(self.words, self.gaps, strict=True):
            if gap or not stretches:
                stretches.append([])
            stretches[-1].append(word)
        if not stretches:
            return None
        open_start = self.gaps[0]
        kept = [
            stretch
            for i, stretch in enumerate(stretches)
            if len(stretch) >= MIN_INNER_WORDS
            or (i == 0 and not open_start)
            or (i == len(stretches) - 1 and not self.open_end)
        ]
        if not kept:
            return None
        return Template(
            tuple("".join(stretch) for stretch in kept),
            open_start=open_start or kept[0] is not stretches[0],
            open_end=self.open_end or kept[-1] is not stretches[-1],
        )


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the common prefix."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _family(texts: Sequence[str], members: list[int]) -> Family | None:
    if len(members) < MIN_VARIANTS:
        return None
    sample = members[:: max(1, len(members) // SAMPLE)]
    template = align(texts[index] for index in sample)
    missed = [index for index in members if template is not None and not template.matches(texts[index])]
    if template is not None and missed:
        wider = align(texts[index] for index in sample + missed[:: max(1, len(missed) // SAMPLE)])
        # What the sample shared by chance goes; strangers in the group must not take the rest along.
        if wider is not None and wider.words >= template.words * KEPT_WORDS:
            template = wider
    if template is None or not _identifies(template):
        return None
    matching = tuple(index for index in members if template.matches(texts[index]))
    return Family(template, matching) if len(matching) >= MIN_VARIANTS else None


def _identifies(template: Template) -> bool:
    opening = template.anchors[0].rstrip()
    colon = not template.open_start and opening.endswith(":") and len(opening.split()) >= MIN_COLON_WORDS
    return colon or template.words >= MIN_FIXED_WORDS


def _refined(texts: Sequence[str], members: list[int]) -> list[list[int]]:
    """Split a group where a large part of it shares a further sentence in the same place.

    Two call sites may be built from one outer template. What tells them apart is fixed text of at
    least a sentence, standing at the same line in every prompt that has it, in at least an eighth of
    the prompts; a passage that popular documents share moves about and is rarer.
    """
    if len(members) < MIN_VARIANTS * 2:
        return [members]
    holders: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index in members:
        for place, line in enumerate(texts[index].split("\n")):
            if len(line.split()) >= MIN_FIXED_WORDS:
                holders[place, line].append(index)
    least = max(MIN_VARIANTS, math.isqrt(len(members)), len(members) // 8)
    split = [(len(held), key) for key, held in holders.items() if least <= len(held) < len(members)]
    if not split:
        return [members]
    _, key = max(split)
    inside = set(holders[key])
    outside = [index for index in members if index not in inside]
    return [*_refined(texts, holders[key]), *_refined(texts, outside)]


def _first_line(text: str) -> str:
    head, newline, rest = text.partition("\n")
    return head if newline and rest.strip() else ""


def _edges(text: str) -> str:
    words = text.partition("\n")[0].split()
    return " ".join((*words[:2], "...", *words[-2:])) if len(words) > MIN_FIXED_WORDS else ""


def _colon(text: str) -> str:
    head, colon, rest = text.partition(":")
    short = len(head.split()) <= MIN_FIXED_WORDS * 2 and "\n" not in head
    return head if colon and short and rest.strip() else ""


def _opening(text: str) -> str:
    words = text.split()
    return " ".join(words[:4]) if len(words) > MIN_FIXED_WORDS else ""


def _last_line(text: str) -> str:
    head, _, tail = text.rpartition("\n")
    return tail if head.strip() and tail.split() else ""


_KEYS: tuple[Callable[[str], str], ...] = (_first_line, _edges, _colon, _opening, _last_line)
"""How prompts of one template may be found, most specific first; all but the last fix how they open."""
