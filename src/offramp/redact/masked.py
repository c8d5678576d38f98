"""A masked request, and the way back: surrogates in an answer become the originals of this request."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.core.errors import EngineError
from offramp.redact.zones import LITERAL, decode_literal, is_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST = 100
_ESCAPED = r"(?<=\\[nrtbf])"
_WHOLE = rf"(?:(?<![^\W_])|{_ESCAPED})(?:{{}})(?![^\W_])"


@dataclass(frozen=True, slots=True)
class Masked:
    """A request with surrogates.

    Attributes:
        value: The request as it would be recorded.
        counts: Replacements by rule or kind.
        pairs: Each original with its surrogate.
    """

    value: Any
    counts: Mapping[str, int]
    pairs: Mapping[str, str] = field(repr=False)
    _originals: dict[str, str] = field(init=False, repr=False)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Turn the pairs round, longest surrogate first."""
        originals = {made: value for value, made in self.pairs.items() if made != value}
        for made, value in list(originals.items()):
            if made.isalpha() and value.isalpha():
                # An answer may write a name in another case than the request does.
                originals.setdefault(made.lower(), value.lower())
                originals.setdefault(made.upper(), value.upper())
                originals.setdefault(made.capitalize(), value.capitalize())
        object.__setattr__(self, "_originals", originals)
        longest_first = "|".join(re.escape(made) for made in sorted(originals, key=len, reverse=True))
        pattern = re.compile(_WHOLE.format(longest_first)) if originals else None
        object.__setattr__(self, "_pattern", pattern)

    def restore(self, answer: Any) -> Any:
        """Return an answer with the request's values in place of their surrogates.

        JSON inside of texts is read as JSON, so that what takes a surrogate's place is escaped.
        What is no surrogate of this request stays.
        """
        return answer if self._pattern is None else self._value(answer, 0)

    def check(self, request: Any) -> None:
        """See whether the way back leads to the request.

        Raises:
            EngineError: It does not.
        """
        if self._pattern is not None and self.restore(_said(self.value)) != _said(request):
            raise EngineError(
                "Masking this request cannot be undone with certainty: values share a surrogate.",
                hint="The call defers.",
            )

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, depth)
        if depth > _DEEPEST:
            return value
        if isinstance(value, list):
            return [self._value(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {self._text(key, depth): self._value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, int) and not isinstance(value, bool):
            return self._integer(value)
        return value

    def _integer(self, value: int) -> int:
        original = self._originals.get(str(value), "")
        return int(original) if original.isdecimal() else value

    def _text(self, text: str, depth: int) -> str:
        if self._pattern is None or not self._pattern.search(text):
            return text
        if depth <= _DEEPEST and is_json(text):
            return LITERAL.sub(lambda match: self._literal(match, depth), text)
        return self._pattern.sub(lambda match: self._originals[match.group()], text)

    def _literal(self, match: re.Match[str], depth: int) -> str:
        quoted, colon = match.group(1), match.group(2) or ""
        if quoted is None:
            return str(self._integer(int(match.group())))
        value = decode_literal(quoted)
        made = self._text(value, depth=_DEEPEST + 1 if colon else depth + 1)
        return match.group() if made == value else json.dumps(made, ensure_ascii=quoted.isascii()) + colon


def _said(request: Any) -> Any:
    """Return a request without its schemas: no answer copies from there."""
    if not isinstance(request, dict):
        return request
    return {
        key: value for key, value in request.items() if key not in {"tools", "functions", "response_format"}
    }
