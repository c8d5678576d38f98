"""Masks what the recogniser finds in a call, wherever else in the call it stands."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

from offramp.redact.names import MASKED, Names
from offramp.redact.recogniser import ADDRESS, PERSON, PLACE
from offramp.redact.words import ASSETS, FOLDER, membership
from offramp.redact.zones import KEYS, Walk, Zone

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterable

    from offramp.redact.keyed import Keyed
    from offramp.redact.recogniser import Recogniser, Span

WORD = re.compile(r"(?<![^\W_])(?:[^\W\d_]+|\d{5,})(?![^\W_])")
"""Whole words and numbers; what has both letters and digits is a code, and no name."""

_LONG = 200
_LONGEST_LABEL = 64
_REMEMBERED = 16_384
_SENTENCE = re.compile(r"(?:^|[.!?:\n\"“>-])\s*$")

Hits = tuple[tuple[str, str], ...]
"""Words found in a text, as written, with their kinds."""

Table = dict[str, tuple[str, str]]
"""For each word as written its kind and its surrogate."""


@dataclass(slots=True)
class _Texts:
    """The texts of one call by how they are treated."""

    free: list[str] = field(default_factory=list)
    deep: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    keyed: dict[str, str] = field(default_factory=dict)

    def visit(self, text: str, name: str, zone: Zone) -> str:
        if zone is Zone.STATIC:
            self.static.append(text)
        elif zone is Zone.FREE:
            self.free.append(text)
        elif zone is Zone.DEEP and name in KEYS:
            self.keyed[text] = KEYS[name]
        elif zone is Zone.DEEP:
            self.deep.append(text)
        return text

    def all(self) -> list[str]:
        """Return every text."""
        return [*self.static, *self.free, *self.deep, *self.keyed]

    def tells(self, text: str) -> bool:
        """Whether a text is to be judged by itself.

        A label that a system prompt lists is none to judge, and neither is an argument that was copied out of
        a sentence, where there was more to judge it by.
        """
        if len(text) > _LONGEST_LABEL:
            return True
        return not any(
            text in other and text != other for listed in (self.static, self.free) for other in listed
        )


@cache
def common_words() -> frozenset[str]:
    """Return ordinary lower-case words; a name like one is told by its capital."""
    return frozenset((resources.files(ASSETS) / FOLDER / "common.txt").read_text(encoding="utf-8").split())


class NameMask:
    """Replaces the words of names and places by surrogates, in the whole call alike.

    Args:
        recogniser: Finds them in free text.
        keyed: Makes the surrogates.
    """

    def __init__(self, recogniser: Recogniser, keyed: Keyed) -> None:
        self._recogniser = recogniser
        self._names = Names(keyed)
        self._found: dict[str | bytes, Hits] = {}
        self._vocabularies: dict[bytes, frozenset[str]] = {}

    def apply(self, value: Any, made: Collection[str], counts: Counter[str]) -> tuple[Any, dict[str, str]]:
        """Return the value with surrogates, and which word became which.

        Args:
            value: A call, a request or any other JSON value, after the rules.
            made: Surrogates of the rules, which hold no names.
            counts: Replacements by kind are added here.
        """
        asked = value.get("request") if isinstance(value, dict) else None
        if not isinstance(asked, dict):
            table = self._table(_gather(value), self._enumerated(value), {})
            return _replaced(value, table, made, counts)
        # What a specialist will see is the request alone, so nothing but the request decides how it is
        # masked; and a word that was left in it is left in the answer, which may have copied it.
        texts = _gather(asked)
        enumerated = self._enumerated(asked)
        table = self._table(texts, enumerated, {})
        request, used = _replaced(asked, table, made, counts)
        answer = {name: item for name, item in value.items() if name != "request"}
        said = _sentences(_gather(answer))
        said.static += texts.static
        own = self._table(said, enumerated, table)
        words = (
            {word.lower() for text in texts.all() for word in self._words(text)}
            if own.keys() - table.keys()
            else set()
        )
        own = {word: found for word, found in own.items() if word in table or word.lower() not in words}
        rest, more = _replaced(answer, own, made, counts)
        return {name: request if name == "request" else rest[name] for name in value}, used | more

    def _table(self, texts: _Texts, enumerated: frozenset[str], known: Table) -> Table:
        """Return kind and surrogate of each way of writing each found word, the known ones included."""
        static = frozenset().union(*(self._words(text) for text in texts.static))
        hits: dict[str, str] = {}
        read = [*texts.free, *texts.deep]
        for text, found in zip(read, self._find(read), strict=True):
            if found and texts.tells(text):
                hits.update((word, kind) for word, kind in found if word not in hits or kind == PERSON)
        for text, kind in texts.keyed.items():
            if not any(text in prompt for prompt in texts.static):
                hits.update((word, hits.get(word, kind)) for word in WORD.findall(text))
        table = dict(known)
        for word, kind in sorted(hits.items()):
            if word in table or word.lower() in enumerated or _is_vocabulary(word, static):
                continue
            for form in _forms(word):
                if form != word and (form in hits or form in static):
                    continue
                made = self._names.surrogate(kind, form)
                if made is not None:
                    table.setdefault(form, (kind, made))
        return table

    def _find(self, texts: list[str]) -> list[Hits]:
        keys = [_key(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._found}
        if len(self._found) + len(new) > _REMEMBERED:
            self._found.clear()
            new = dict(zip(keys, texts, strict=True))
        if new:
            for (key, text), spans in zip(
                new.items(), self._recogniser.find(list(new.values())), strict=True
            ):
                self._found[key] = tuple(_hits(text, spans))
        return [self._found[key] for key in keys]

    def _words(self, text: str) -> frozenset[str]:
        """Return the words of a system prompt, as written."""
        return self._remembered(text.encode("utf-8", "surrogatepass"), lambda: WORD.findall(text))

    def _enumerated(self, value: Any) -> frozenset[str]:
        """Return the words of values that the call's schemas enumerate: they are vocabulary, not data."""
        request = value.get("request", value) if isinstance(value, dict) else None
        if not isinstance(request, dict):
            return frozenset()
        schemas = [request[name] for name in ("tools", "functions", "response_format") if request.get(name)]
        if not schemas:
            return frozenset()
        try:
            raw = orjson.dumps(schemas)
        except TypeError:
            raw = repr(schemas).encode("utf-8", "surrogatepass")
        return self._remembered(
            raw, lambda: [word.lower() for text in _enums(schemas) for word in WORD.findall(text)]
        )

    def _remembered(self, raw: bytes, words: Any) -> frozenset[str]:
        key = hashlib.blake2b(raw, digest_size=16).digest()
        if key not in self._vocabularies:
            if len(self._vocabularies) >= 256:
                self._vocabularies.clear()
            self._vocabularies[key] = frozenset(words())
        return self._vocabularies[key]


def _sentences(said: _Texts) -> _Texts:
    """Keep of an answer what may hold a name of its own: sentences, and fields whose key says so.

    Another label, field or argument that is not in the request is vocabulary. As a surrogate it would be
    what a specialist learns to say, and no client could be given the word that it stands for.
    """
    free = [text for text in said.free if len(text) > _LONGEST_LABEL]
    return _Texts(free=free, static=said.static, keyed=said.keyed)


def _gather(value: Any) -> _Texts:
    texts = _Texts()
    Walk(texts.visit).value(value)
    return texts


def _replaced(
    value: Any, table: Table, made: Collection[str], counts: Counter[str]
) -> tuple[Any, dict[str, str]]:
    """Return the value with surrogates, and which were used."""
    if not table:
        return value, {}
    used: dict[str, str] = {}

    def rewrite(text: str, name: str, zone: Zone) -> str:
        del name, zone
        return _rewrite(text, table, made, used, counts)

    return Walk(rewrite).value(value), used


def _key(text: str) -> str | bytes:
    if len(text) < _LONG:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _hits(text: str, spans: Iterable[Span]) -> Iterable[tuple[str, str]]:
    """Yield the words of spans that are to be masked; ordinary words in ordinary places are none."""
    for span in spans:
        if span.kind not in MASKED:
            continue
        for match in WORD.finditer(text, span.start):
            if match.start() >= span.end:
                break
            word = match.group()
            if not _is_ordinary(text, match, span.kind) and not _is_code(word):
                yield word, span.kind


def _is_vocabulary(word: str, static: frozenset[str]) -> bool:
    """Whether a word belongs to what the system prompt talks of: it stands there, and not as a name would."""
    if word not in static or word.lower() in membership():
        return word.islower() and word in static
    return not word.istitle() or word.lower() in static or word.lower() in common_words()


def _is_code(word: str) -> bool:
    """Whether a word is an abbreviation (SEA, USA, BBC) rather than a name in capitals."""
    return word.isupper() and (len(word) <= 3 or (len(word) == 4 and word.lower() not in membership()))


def _is_ordinary(text: str, match: re.Match[str], kind: str) -> bool:
    """Whether a word is a common one where its capital, or the lack of it, says nothing."""
    word = match.group()
    low = word.lower()
    if low not in common_words() or low in membership():
        return False
    return word == low or kind in {PLACE, ADDRESS} or bool(_SENTENCE.search(text[: match.start()][-8:]))


def _forms(word: str) -> tuple[str, ...]:
    """Return the ways of writing a word that are replaced: its own first."""
    low = word.lower()
    if word.isdigit() or low in common_words():
        return (word,)
    forms = (word, low, word.upper(), word.capitalize())
    return tuple(dict.fromkeys(form for form in forms if form == word or not _is_code(form)))


def _rewrite(
    text: str,
    table: Table,
    made: Collection[str],
    used: dict[str, str],
    counts: Counter[str],
) -> str:
    if table.keys().isdisjoint(WORD.findall(text)):
        return text
    kept = [place for surrogate in made for place in _places(text, surrogate)]

    def stand_in(match: re.Match[str]) -> str:
        word = match.group()
        found = table.get(word)
        if found is None or any(start <= match.start() < end for start, end in kept):
            return word
        used[word] = found[1]
        counts[found[0]] += 1
        return found[1]

    return WORD.sub(stand_in, text)


def _places(text: str, part: str) -> Iterable[tuple[int, int]]:
    at = text.find(part) if part else -1
    while at >= 0:
        yield at, at + len(part)
        at = text.find(part, at + len(part))


def _enums(schema: Any) -> Iterable[str]:
    """Yield the texts that a JSON schema enumerates."""
    if isinstance(schema, list):
        for item in schema:
            yield from _enums(item)
    elif isinstance(schema, dict):
        for key, item in schema.items():
            if key == "enum" and isinstance(item, list):
                yield from (text for text in item if isinstance(text, str))
            elif key == "const" and isinstance(item, str):
                yield item
            else:
                yield from _enums(item)
