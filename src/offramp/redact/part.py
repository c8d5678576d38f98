"""What is kept of a message, so that it need not be read again when it comes again as history."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from offramp.redact.words import WORD
from offramp.redact.zones import KEYS, Zone

Hits = tuple[tuple[str, str], ...]
"""Words found in a text, as written, with their kinds."""


@dataclass(slots=True)
class Tally:
    """What was found so far in a value.

    Attributes:
        counts: Replacements by rule.
        echoes: Values that only their surroundings gave away, with their surrogates.
        pairs: Each value with what took its place.
        parts: The messages that are remembered, by the id of what the rules made of them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    echoes: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)

    def add(self, other: Any) -> None:
        """Add what another tally, a part or a rewritten text holds."""
        if other.pairs:
            self.pairs.update(other.pairs)
            self.echoes.update(other.echoes)
        self.count(other.counts)

    def count(self, counts: dict[str, int]) -> None:
        """Add some counts."""
        for name, number in counts.items():
            self.counts[name] += number

    @property
    def empty(self) -> bool:
        """Whether nothing was found."""
        return not self.pairs and not self.counts


@dataclass(slots=True)
class Texts:
    """The texts of a call, or of one message of it, by how they are treated.

    Attributes:
        static: Texts that are not read.
        free: Texts that are read.
        deep: Arguments and results of tools.
        keyed: Texts whose key says what they are, with their kind.
        every: All of these and the others in which words are replaced.
        found: What the recogniser found in the texts of `free` and then of `deep`; None before it was asked.
    """

    static: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    deep: list[str] = field(default_factory=list)
    keyed: dict[str, str] = field(default_factory=dict)
    every: list[str] = field(default_factory=list)
    found: tuple[list[tuple[str, Hits]], list[tuple[str, Hits]]] | None = None
    _words: frozenset[str] | None = None
    _read: frozenset[str] | None = None

    def visit(self, text: str, name: str, zone: Zone) -> str:
        """Take a text."""
        self.every.append(text)
        if zone is Zone.FREE:
            self.free.append(text)
        elif zone is Zone.DEEP:
            if name in KEYS:
                self.keyed[text] = KEYS[name]
            else:
                self.deep.append(text)
        elif zone is Zone.STATIC:
            self.static.append(text)
        return text

    @property
    def words(self) -> frozenset[str]:
        """The words, as written, of every text in which words are replaced."""
        if self._words is None:
            # No word goes on over the end of a line.
            self._words = _distinct(WORD.findall("\n".join(self.every)))
        return self._words

    @property
    def read(self) -> frozenset[str]:
        """The words of all texts but labels and the like, in lower case."""
        if self._read is None:
            texts = (*self.static, *self.free, *self.deep, *self.keyed)
            self._read = _distinct([word.lower() for word in WORD.findall("\n".join(texts))])
        return self._read


def _distinct(words: list[str]) -> frozenset[str]:
    # Messages share most of their words; a set made of a set has no more room than it needs.
    return frozenset(set(map(sys.intern, words)))


@dataclass(slots=True)
class Part:
    """A message after the rules.

    Attributes:
        made: The message with surrogates.
        counts: As of `Tally`.
        echoes: As of `Tally`.
        pairs: As of `Tally`.
        raw: What holds the bytes of each of its texts.
        texts: Its texts, once they were gathered.
        echoed: What became of it when echoes were replaced: which, and the part.
        renamed: What became of it when names were replaced: which, the message, which were used, the counts.
    """

    made: Any
    counts: Counter[str]
    echoes: dict[str, str]
    pairs: dict[str, str]
    raw: bytes
    texts: Texts | None = None
    echoed: tuple[dict[str, str], Part] | None = None
    renamed: tuple[object, Any, dict[str, str], Counter[str]] | None = None
