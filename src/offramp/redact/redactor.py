"""JSON values in, JSON values of the same shape out, with surrogates for what rules and recogniser find."""

from __future__ import annotations

import hashlib
import json
import marshal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offramp.redact.assigned import surrogate_field
from offramp.redact.chain import Chain, Rewritten
from offramp.redact.echo import Echo
from offramp.redact.keyed import Keyed
from offramp.redact.masked import Masked
from offramp.redact.memory import Memory
from offramp.redact.namemask import NameMask
from offramp.redact.part import Part, Tally
from offramp.redact.zones import edited, literals_of

if TYPE_CHECKING:
    from offramp.redact.recogniser import Recogniser
    from offramp.redact.zones import Literals

_DEEPEST = 100
_TOO_DEEP = "[nested too deep]"
_LONG = 200
_REMEMBERED = 16_384
_SHORTEST = 4
_SHORTEST_ECHO = 6
_PARTS_BYTES = 8 << 20
_PART_BYTES = 3_000
_PART_TIMES = 5
"""What a message takes in memory: its texts several times, in objects."""
_JSON = ("{", "[", '"')
_SCHEMAS = frozenset(("tools", "functions", "response_format"))


@dataclass(frozen=True, slots=True)
class Redacted:
    """A JSON value after redaction.

    Attributes:
        value: The value, of the same shape.
        counts: Replacements by rule or kind.
    """

    value: Any
    counts: dict[str, int]


class Redactor:
    """Replaces personal data and secrets by consistent surrogates.

    The same value gives the same surrogate under the same key, in a request, in its response and in every
    other call; different values give different ones (but for collisions among 10^7 and more, and among 10^4
    for made-up names). So what was copied stays a copy.

    Messages, tools and schemas are remembered with what became of them, within a bound (8 MiB), so that a
    conversation that grows costs what is new in it. What is remembered changes no result.

    Not for several threads at once.

    Args:
        key: Secret of the store; at least 16 bytes.
        recogniser: Finds names, places and organisations; without one only what has a structure is masked:
            addresses, numbers, keys and the like.
    """

    def __init__(self, key: bytes, recogniser: Recogniser | None = None) -> None:
        self._keyed = Keyed(key)
        self._chain = Chain(self._keyed)
        self._names = NameMask(recogniser, self._keyed) if recogniser else None
        # What held nothing (prompts, tool schemas, keys) comes again with every call, and need not be read
        # again. Of long texts only a hash is kept.
        self._clean: set[tuple[str, str] | bytes] = set()
        self._parts: Memory[Part] = Memory(_PARTS_BYTES)
        self._literals: dict[str, Literals | None] = {}

    def redact(self, value: Any) -> Redacted:
        """Return ``value`` with surrogates; never raises on anything that JSON can hold.

        What it returns shares messages with what other calls return, and is not to be changed.
        """
        made, tally = self._masked(value)
        return Redacted(made, dict(tally.counts))

    def mask(self, request: Any) -> Masked:
        """Return a request as `redact` would record it, with the way back for what answers it.

        Raises:
            EngineError: There is no certain way back: two values of this request share a surrogate, or a
                surrogate stands in it already.
        """
        made, tally = self._masked(request)
        masked = Masked(made, dict(tally.counts), tally.pairs)
        masked.check(request)
        return masked

    def _masked(self, value: Any) -> tuple[Any, Tally]:
        tally = Tally()
        self._literals.clear()
        made = self._value(value, "", 0, tally)
        echoes = {
            value: surrogate
            for value, surrogate in tally.echoes.items()
            if len(value) >= _SHORTEST_ECHO and not value.isalpha()
        }
        if echoes:
            made = Echo(echoes).apply(made, tally)
        if self._names:
            made, pairs = self._names.apply(made, tally, self._literals_of)
            tally.pairs.update(pairs)
        return made, tally

    def _literals_of(self, text: str) -> Literals | None:
        """Take a text of JSON apart; rules and names read the same ones one after the other."""
        try:
            return self._literals[text]
        except KeyError:
            literals = self._literals[text] = literals_of(text)
            return literals

    def _value(self, value: Any, name: str, depth: int, tally: Tally) -> Any:
        if isinstance(value, str):
            return self._text(value, name, depth, tally)
        if depth > _DEEPEST and isinstance(value, dict | list):
            tally.counts["depth"] += 1
            return _TOO_DEEP
        if isinstance(value, dict):
            return self._object(value, depth, tally)
        if isinstance(value, list | tuple):
            return [self._value(item, name, depth + 1, tally) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._integer(value, name, tally)
        return value

    def _object(self, value: dict[str, Any], depth: int, tally: Tally) -> dict[str, Any]:
        made = {}
        for key, item in value.items():
            if key == "logprobs" and isinstance(item, dict):
                # An answer cut into tokens cannot be searched, so its tokens go and their numbers stay.
                made[key] = _without_text(item)
            elif key in _SCHEMAS and isinstance(item, dict | list):
                made[key] = self._part(item, key, depth + 1, tally)
            elif key == "messages" and depth <= 1 and isinstance(item, list):
                made[key] = [
                    self._part(message, key, depth + 2, tally)
                    if isinstance(message, dict)
                    else self._value(message, key, depth + 2, tally)
                    for message in item
                ]
            else:
                masked = self._value(item, str(key), depth + 1, tally)
                made[self._text(str(key), "", depth, tally)] = masked
        return made

    def _part(self, value: Any, name: str, depth: int, tally: Tally) -> Any:
        """Redact what comes again with other calls as it is: messages as history, tools, schemas."""
        raw = _bytes_of(value)
        if raw is None:
            return self._value(value, name, depth, tally)
        key = hashlib.blake2b(raw, digest_size=16).digest() + f"{depth} {name}".encode()
        part = self._parts.get(key)
        if part is None:
            own = Tally()
            made = self._value(value, name, depth, own)
            raw = raw if made == value else _bytes_of(made) or raw
            part = Part(made, own.counts, own.echoes, own.pairs, raw)
            self._parts.put(key, part, _PART_BYTES + _PART_TIMES * len(raw))
        tally.add(part)
        tally.parts[id(part.made)] = part
        return part.made

    def _integer(self, value: int, name: str, tally: Tally) -> int:
        if not 10**6 <= value < 10**19:
            return value
        result = self._chain.rewrite(str(value), name)
        if result is None:
            return value
        tally.add(result)
        return int(result.text)

    def _text(self, text: str, name: str, depth: int, tally: Tally) -> str:
        if len(text) < _SHORTEST:
            return text
        memo = (name, text) if len(text) < _LONG else _digest(name, text)
        if memo in self._clean:
            return text
        found = self._rewritten(text, name, depth)
        if found is None:
            self._remember(memo)
            return text
        tally.add(found)
        return found.text

    def _remember(self, memo: tuple[str, str] | bytes) -> None:
        if len(self._clean) >= _REMEMBERED:
            self._clean.clear()
        self._clean.add(memo)

    def _rewritten(self, text: str, name: str, depth: int) -> Rewritten | None:
        """Return a text after the rules, None where nothing was found."""
        surrogate = surrogate_field(name, text, self._keyed) if name else None
        if surrogate is not None:
            result = Rewritten(surrogate)
            result.pairs[text] = surrogate
            if surrogate != text:
                result.counts["secret"] += 1
                result.echoes[text] = surrogate
            return result
        literals = self._literals_of(text) if depth <= _DEEPEST and text.strip()[:1] in _JSON else None
        if literals is not None:
            return self._inside(text, literals, depth)
        return self._chain.rewrite(text, name)

    def _inside(self, text: str, literals: Literals, depth: int) -> Rewritten | None:
        """Redact the literals of a JSON text one by one, so that all else of it stays as it was written."""
        tally = Tally()
        edits = []
        for start, end, value, name in literals:
            if value is None:
                number = int(text[start:end])
                made: Any = self._integer(number, name or "", tally)
                changed = made != number
            else:
                made = self._text(value, name or "", depth + 1, tally)
                changed = made != value
            if changed:
                edits.append((start, end, json.dumps(made, ensure_ascii=text[start:end].isascii())))
        if tally.empty:
            return None
        return Rewritten(edited(text, edits), tally.counts, tally.echoes, tally.pairs)


def _bytes_of(value: Any) -> bytes | None:
    """Return bytes that no other value has; None for what JSON does not know."""
    try:
        # Not JSON: NaN is no null, and every text of the value stands in it as it is.
        return marshal.dumps(value, 2)
    except ValueError:
        return None


def _without_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_text(item) for item in value if not isinstance(item, int)]
    return "" if isinstance(value, str) else value


def _digest(name: str, text: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
