"""Reading the texts of a call, and replacing words in them, message by message."""

from __future__ import annotations

import bisect
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from offramp.redact.part import Texts
from offramp.redact.words import WORD
from offramp.redact.zones import Walk, Zone, edited

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from offramp.redact.part import Part, Tally
    from offramp.redact.zones import Literals

LONGEST_LABEL = 64
"""Characters of a text that may be a label rather than a sentence."""

Table = dict[str, tuple[str, str]]
"""For each word as written its kind and its surrogate."""


class Reader:
    """Gathers the texts of a value; those of a message that is remembered only once.

    Args:
        parts: The messages that are remembered.
        literals: As of `Walk`.
    """

    def __init__(self, parts: dict[int, Part], literals: Callable[[str], Literals | None]) -> None:
        self._parts = parts
        self._literals = literals
        self._pieces: list[Texts] = []

    def pieces(self, value: Any) -> list[Texts]:
        """Return the texts of a value, in order."""
        self._pieces = [Texts()]
        Walk(self._visit, self._literals, self._known).value(value)
        return self._pieces

    def _visit(self, text: str, name: str, zone: Zone) -> str:
        return self._pieces[-1].visit(text, name, zone)

    def _known(self, value: Any) -> Any:
        part = self._parts.get(id(value))
        if part is None:
            return None
        if part.texts is None:
            part.texts = Texts()
            _walk(part.texts.visit, self._literals, part)
        self._pieces += (part.texts, Texts())
        return value


class Renaming:
    """Replaces words by their surrogates, in one value after the other.

    Args:
        tally: What the rules made; replacements are counted in it.
        literals: As of `Walk`.
    """

    def __init__(self, tally: Tally, literals: Callable[[str], Literals | None]) -> None:
        self._tally = tally
        self._made = tuple(dict.fromkeys(tally.pairs.values()))
        self._words: dict[str, list[str]] = {}
        self._tails: dict[str, list[str]] = {}
        for surrogate in self._made:
            words, tail = _words_of(surrogate)
            for word in words:
                self._words.setdefault(word, []).append(surrogate)
            self._tails.setdefault(tail, []).append(surrogate)
        self._literals = literals

    def apply(self, value: Any, table: Table) -> tuple[Any, dict[str, str]]:
        """Return the value with surrogates, and which were used."""
        used: dict[str, str] = {}
        if not table:
            return value, used
        made = self._overlapping(table)
        counts = self._tally.counts

        def rewrite(text: str, name: str, zone: Zone) -> str:
            del name, zone
            return _rewrite(text, table, made, used, counts)

        def known(message: Any) -> Any:
            part = self._tally.parts.get(id(message))
            return None if part is None else self._renamed(part, table, made, used)

        return Walk(rewrite, self._literals, known).value(value), used

    def _renamed(self, part: Part, table: Table, made: tuple[str, ...], used: dict[str, str]) -> Any:
        """Return a message with surrogates; looked into only for other words than last time."""
        there = table.keys() & part.texts.words if part.texts else ()
        if not there:
            return part.made
        wanted = {word: table[word] for word in there}, made
        if part.renamed is None or part.renamed[0] != wanted:
            own: dict[str, str] = {}
            counts: Counter[str] = Counter()

            def rewrite(text: str, name: str, zone: Zone) -> str:
                del name, zone
                return _rewrite(text, table, made, own, counts)

            part.renamed = wanted, _walk(rewrite, self._literals, part), own, counts
        _, message, words, counts = part.renamed
        used.update(words)
        self._tally.count(counts)
        return message

    def _overlapping(self, table: Table) -> tuple[str, ...]:
        """Return the surrogates of rules of which a word to be replaced may be a part."""
        found = {surrogate for word in table.keys() & self._words.keys() for surrogate in self._words[word]}
        order = sorted(table)
        for tail, surrogates in self._tails.items():
            at = bisect.bisect_left(order, tail)
            if tail and at < len(order) and order[at].startswith(tail):
                found.update(surrogates)
        return tuple(surrogate for surrogate in self._made if surrogate in found)


class Context:
    """What the texts of a call say about one another.

    Args:
        pieces: The texts.
    """

    def __init__(self, pieces: Sequence[Texts]) -> None:
        self._pieces = pieces
        self._texts: list[str] | None = None
        self._joined = ""

    def tells(self, text: str) -> bool:
        """Whether a text is to be judged by itself.

        A label that a system prompt lists is none to judge, and neither is an argument that was copied out of
        a sentence, where there was more to judge it by.
        """
        return len(text) > LONGEST_LABEL or not self._is_part(text)

    def _is_part(self, text: str) -> bool:
        """Whether a text stands in a longer one."""
        if self._texts is None:
            self._texts = [text for piece in self._pieces for text in (*piece.static, *piece.free)]
            self._joined = "\0" + "\0".join(self._texts) + "\0"
            if self._joined.count("\0") != len(self._texts) + 1:
                self._joined = ""
        if not self._joined or "\0" in text:
            return any(text in other and text != other for other in self._texts)
        at = self._joined.find(text)
        while at >= 0:
            if self._joined[at - 1] != "\0" or self._joined[at + len(text)] != "\0":
                return True
            at = self._joined.find(text, at + 1)
        return False


def _walk(
    visit: Callable[[str, str, Zone], str], literals: Callable[[str], Literals | None], part: Part
) -> Any:
    """Walk through a message as it stands in a request."""
    return Walk(visit, literals).value(part.made, "messages", Zone.OUTER, 2)


@lru_cache(maxsize=4096)
def _words_of(surrogate: str) -> tuple[frozenset[str], str]:
    """Return the words of a surrogate, and the letters and digits at its end, which a text may go on with."""
    start = len(surrogate)
    while start and surrogate[start - 1].isalnum():
        start -= 1
    return frozenset(WORD.findall(surrogate)), surrogate[start:]


def _rewrite(
    text: str,
    table: Table,
    made: Collection[str],
    used: dict[str, str],
    counts: Counter[str],
) -> str:
    there = table.keys() & WORD.findall(text)
    if not there:
        return text
    kept = [place for surrogate in made for place in _places(text, surrogate)]
    edits = []
    for start, end in sorted(place for word in there for place in _places(text, word, whole=True)):
        if any(first <= start < last for first, last in kept):
            continue
        word = text[start:end]
        kind, surrogate = table[word]
        used[word] = surrogate
        counts[kind] += 1
        edits.append((start, end, surrogate))
    return edited(text, edits)


def _places(text: str, part: str, *, whole: bool = False) -> Iterator[tuple[int, int]]:
    """Yield where a part stands, as a whole word or anywhere."""
    at = text.find(part) if part else -1
    while at >= 0:
        end = at + len(part)
        if not whole or not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
            yield at, end
        at = text.find(part, end)
