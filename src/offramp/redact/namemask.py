"""Masks what the recogniser finds in a call, wherever else in the call it stands."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson

from offramp.redact.names import MASKED, Names
from offramp.redact.part import Texts
from offramp.redact.recogniser import ADDRESS, PERSON, PLACE
from offramp.redact.renaming import LONGEST_LABEL, Context, Reader, Renaming
from offramp.redact.words import ASSETS, FOLDER, WORD, membership

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from offramp.redact.keyed import Keyed
    from offramp.redact.part import Hits, Tally
    from offramp.redact.recogniser import Recogniser, Span
    from offramp.redact.renaming import Table
    from offramp.redact.zones import Literals

_LONG = 200
_REMEMBERED = 16_384
_SENTENCE = re.compile(r"(?:^|[.!?:\n\"“>-])\s*$")


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
        self._surrogates: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}

    def apply(
        self, value: Any, tally: Tally, literals: Callable[[str], Literals | None]
    ) -> tuple[Any, dict[str, str]]:
        """Return the value with surrogates, and which word became which.

        Args:
            value: A call, a request or any other JSON value, after the rules.
            tally: What the rules made, which holds no names; replacements by kind are counted in it.
            literals: As of `Walk`.
        """
        reader, renaming = Reader(tally.parts, literals), Renaming(tally, literals)
        asked = value.get("request") if isinstance(value, dict) else None
        if not isinstance(asked, dict):
            table = self._table(reader.pieces(value), self._enumerated(value), {})
            return renaming.apply(value, table)
        # What a specialist will see is the request alone, so nothing but the request decides how it is
        # masked; and a word that was left in it is left in the answer, which may have copied it.
        pieces = reader.pieces(asked)
        answer = {name: item for name, item in value.items() if name != "request"}
        said = _sentences(reader.pieces(answer))
        said.static += [text for piece in pieces for text in piece.static]
        self._read([*pieces, said])
        enumerated = self._enumerated(asked)
        table = self._table(pieces, enumerated, {})
        request, used = renaming.apply(asked, table)
        own = self._table([said], enumerated, table)
        for word in own.keys() - table.keys():
            if any(word.lower() in piece.read for piece in pieces):
                del own[word]
        rest, more = renaming.apply(answer, own)
        return {name: request if name == "request" else rest[name] for name in value}, used | more

    def _table(self, pieces: Sequence[Texts], enumerated: frozenset[str], known: Table) -> Table:
        """Return kind and surrogate of each way of writing each found word, the known ones included."""
        static = frozenset().union(*(self._words(text) for piece in pieces for text in piece.static))
        hits = self._hits(pieces)
        table = dict(known)
        for word, kind in sorted(hits.items()):
            if word in table or word.lower() in enumerated or _is_vocabulary(word, static):
                continue
            for form, made in self._forms(kind, word):
                if form == word or (form not in hits and form not in static):
                    table.setdefault(form, (kind, made))
        return table

    def _hits(self, pieces: Sequence[Texts]) -> dict[str, str]:
        """Return the words that were found, as written, with their kinds."""
        self._read(pieces)
        found = [piece.found for piece in pieces if piece.found]
        context = Context(pieces)
        hits: dict[str, str] = {}
        for text, words in (
            *(one for free, _ in found for one in free),
            *(one for _, deep in found for one in deep),
        ):
            if context.tells(text):
                hits.update((word, kind) for word, kind in words if word not in hits or kind == PERSON)
        for text, kind in {text: kind for piece in pieces for text, kind in piece.keyed.items()}.items():
            if not any(text in prompt for piece in pieces for prompt in piece.static):
                hits.update((word, hits.get(word, kind)) for word in WORD.findall(text))
        return hits

    def _forms(self, kind: str, word: str) -> tuple[tuple[str, str], ...]:
        """Return the ways of writing a word that are replaced, with their surrogates."""
        known = self._surrogates.get((kind, word))
        if known is None:
            made = ((form, self._names.surrogate(kind, form)) for form in _forms(word))
            known = tuple((form, surrogate) for form, surrogate in made if surrogate is not None)
            if len(self._surrogates) >= _REMEMBERED:
                self._surrogates.clear()
            self._surrogates[kind, word] = known
        return known

    def _read(self, pieces: Sequence[Texts]) -> None:
        """Have the recogniser read what it has not read yet, all at once."""
        unread = [piece for piece in pieces if piece.found is None]
        found = iter(self._find([text for piece in unread for text in (*piece.free, *piece.deep)]))
        for piece in unread:
            free = [(text, next(found)) for text in piece.free]
            deep = [(text, next(found)) for text in piece.deep]
            piece.found = [one for one in free if one[1]], [one for one in deep if one[1]]

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


def _sentences(pieces: Sequence[Texts]) -> Texts:
    """Keep of an answer what may hold a name of its own: sentences, and fields whose key says so.

    Another label, field or argument that is not in the request is vocabulary. As a surrogate it would be
    what a specialist learns to say, and no client could be given the word that it stands for.
    """
    return Texts(
        free=[text for piece in pieces for text in piece.free if len(text) > LONGEST_LABEL],
        static=[text for piece in pieces for text in piece.static],
        keyed={text: kind for piece in pieces for text, kind in piece.keyed.items()},
    )


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
