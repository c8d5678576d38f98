"""JSON values in, JSON values of the same shape out, with surrogates for what rules and recogniser find."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from offramp.redact.assigned import surrogate_field
from offramp.redact.chain import Chain, Rewritten
from offramp.redact.keyed import Keyed
from offramp.redact.masked import Masked
from offramp.redact.namemask import NameMask
from offramp.redact.zones import LITERAL, decode_literal, is_json

if TYPE_CHECKING:
    from offramp.redact.recogniser import Recogniser

_DEEPEST = 100
_TOO_DEEP = "[nested too deep]"
_LONG = 200
_REMEMBERED = 32_768
_SHORTEST = 4
_SHORTEST_ECHO = 6
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


@dataclass(slots=True)
class _Tally:
    """What was found so far in one value."""

    counts: Counter[str] = field(default_factory=Counter)
    echoes: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)

    def add(self, result: Rewritten) -> None:
        self.counts.update(result.counts)
        self.echoes.update(result.echoes)
        self.pairs.update(result.pairs)


class Redactor:
    """Replaces personal data and secrets by consistent surrogates.

    The same value gives the same surrogate under the same key, in a request, in its response and in every
    other call; different values give different ones (but for collisions among 10^7 and more, and among 10^4
    for made-up names). So what was copied stays a copy.

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

    def redact(self, value: Any) -> Redacted:
        """Return ``value`` with surrogates; never raises on anything that JSON can hold."""
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

    def _masked(self, value: Any) -> tuple[Any, _Tally]:
        tally = _Tally()
        made = self._value(value, "", 0, tally)
        echoes = {
            value: surrogate
            for value, surrogate in tally.echoes.items()
            if len(value) >= _SHORTEST_ECHO and not value.isalpha()
        }
        if echoes:
            made = _echo(made, _pattern(echoes), echoes, tally)
        if self._names:
            made, pairs = self._names.apply(made, tuple(tally.pairs.values()), tally.counts)
            tally.pairs.update(pairs)
        return made, tally

    def _value(self, value: Any, name: str, depth: int, tally: _Tally) -> Any:
        if depth > _DEEPEST and isinstance(value, dict | list):
            tally.counts["depth"] += 1
            return _TOO_DEEP
        if isinstance(value, str):
            return self._text(value, name, depth, tally)
        if isinstance(value, dict):
            return self._object(value, depth, tally)
        if isinstance(value, list | tuple):
            return [self._value(item, name, depth + 1, tally) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._integer(value, name, tally)
        return value

    def _object(self, value: dict[str, Any], depth: int, tally: _Tally) -> dict[str, Any]:
        made = {}
        for key, item in value.items():
            if key == "logprobs" and isinstance(item, dict):
                # An answer cut into tokens cannot be searched, so its tokens go and their numbers stay.
                made[key] = _without_text(item)
            elif key in _SCHEMAS and isinstance(item, dict | list):
                made[key] = self._schema(item, key, depth, tally)
            else:
                masked = self._value(item, str(key), depth + 1, tally)
                made[self._text(str(key), "", depth, tally)] = masked
        return made

    def _schema(self, value: Any, name: str, depth: int, tally: _Tally) -> Any:
        """Redact what comes again as a whole with every call, and once it was clean do not look inside."""
        try:
            memo = _digest(name, orjson.dumps(value).decode())
        except TypeError:
            return self._value(value, name, depth + 1, tally)
        if memo in self._clean:
            return value
        known = len(tally.pairs), tally.counts.total()
        made = self._value(value, name, depth + 1, tally)
        if (len(tally.pairs), tally.counts.total()) == known:
            self._clean.add(memo)
        return made

    def _integer(self, value: int, name: str, tally: _Tally) -> int:
        if not 10**6 <= value < 10**19:
            return value
        result = self._chain.apply(str(value), name)
        tally.add(result)
        return int(result.text)

    def _text(self, text: str, name: str, depth: int, tally: _Tally) -> str:
        if len(text) < _SHORTEST:
            return text
        memo = (name, text) if len(text) < _LONG else _digest(name, text)
        if memo in self._clean:
            return text
        known = len(tally.pairs)
        made = self._rewrite(text, name, depth, tally)
        if made == text and len(tally.pairs) == known:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(memo)
        return made

    def _rewrite(self, text: str, name: str, depth: int, tally: _Tally) -> str:
        field_surrogate = surrogate_field(name, text, self._keyed) if name else None
        if field_surrogate is not None:
            result = Rewritten(field_surrogate)
            result.pairs[text] = field_surrogate
            if field_surrogate != text:
                result.counts["secret"] += 1
                result.echoes[text] = field_surrogate
        elif depth <= _DEEPEST and is_json(text):
            return LITERAL.sub(_Literals(self, depth, tally), text)
        else:
            result = self._chain.apply(text, name)
        tally.add(result)
        return result.text

    def literal(self, text: str, name: str, depth: int, tally: _Tally) -> str:
        """Redact one string or integer literal of JSON inside a string."""
        value = decode_literal(text) if text[0] == '"' else json.loads(text)
        made = self._value(value, name, depth + 1, tally)
        return text if made == value else json.dumps(made, ensure_ascii=text.isascii())


class _Literals:
    """Rewrites the literals of a JSON text one by one, so that all else of it stays as it was written."""

    __slots__ = ("_depth", "_name", "_redactor", "_tally")

    def __init__(self, redactor: Redactor, depth: int, tally: _Tally) -> None:
        self._redactor = redactor
        self._depth = depth
        self._tally = tally
        self._name = ""

    def __call__(self, match: re.Match[str]) -> str:
        literal, colon = match.group(1), match.group(2)
        if colon is None:
            return self._redactor.literal(match.group(), self._name, self._depth, self._tally)
        self._name = str(json.loads(literal))
        return self._redactor.literal(literal, "", self._depth, self._tally) + colon


def _without_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_text(item) for item in value if not isinstance(item, int)]
    return "" if isinstance(value, str) else value


def _digest(name: str, text: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _pattern(echoes: dict[str, str]) -> re.Pattern[str]:
    longest_first = sorted(echoes, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


def _echo(value: Any, pattern: re.Pattern[str], echoes: dict[str, str], tally: _Tally) -> Any:
    """Replace the values that context gave away wherever else they stand."""
    if isinstance(value, dict):
        return {key: _echo(item, pattern, echoes, tally) for key, item in value.items()}
    if isinstance(value, list):
        return [_echo(item, pattern, echoes, tally) for item in value]
    if isinstance(value, int) and str(value) in echoes:
        tally.counts["echo"] += 1
        return int(echoes[str(value)])
    if not isinstance(value, str):
        return value

    def stand_in(match: re.Match[str]) -> str:
        tally.counts["echo"] += 1
        tally.pairs[match.group()] = echoes[match.group()]
        return echoes[match.group()]

    return pattern.sub(stand_in, value)
