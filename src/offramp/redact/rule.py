"""What a rule is: a linear-time pattern, and a hand check that gives the surrogate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import re2

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.keyed import Keyed

# A letter right before a value may belong to an escape of JSON inside text: in ``\nfoo@bar.com`` the
# ``n`` is no part of the address, and replacing it would leave a broken escape behind.
ESCAPE = r"(?:\\[nrtbf]|\\u[0-9A-Fa-f]{4})"
EDGE = rf"(?:^|[^0-9A-Za-z_]|{ESCAPE})"
"""What may stand before a value that must not begin inside a word; it is matched, not replaced."""

_NEAR = 48


@dataclass(frozen=True, slots=True)
class Found:
    """One candidate in a text.

    Attributes:
        value: The text that would be replaced.
        name: What stands before it as its name (``password`` in ``password=x``), "" where nothing does.
        before: Up to 48 characters before the value, lower case, the JSON key it stands under first.
        after: Up to 48 characters after it.
    """

    value: str
    name: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of personal data or secret.

    Attributes:
        name: What it is called in counts.
        pattern: RE2 syntax over UTF-8 bytes. The last group that took part is the value; a group
            called ``name``, always the first, is the value's name.
        hint: A cheap pattern without long counted repetitions that occurs in every text with a candidate;
            "" where there is none. The chain looks for all hints at once.
        surrogate: Gives the stand-in for a candidate: None where it is none of this kind after all,
            the value itself where it is a surrogate already (or public).
        contextual: Whether only the surroundings give the value away.
        shortest: Bytes that a text must have for this rule to run.
    """

    name: str
    pattern: str
    hint: str
    surrogate: Callable[[Found, Keyed], str | None]
    contextual: bool = False
    shortest: int = 4
    # RE2 objects carry no types.
    compiled: Any = field(init=False, repr=False, compare=False)
    _groups: int = field(init=False, repr=False, compare=False)
    _named: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the pattern once."""
        object.__setattr__(self, "compiled", re2.compile(self.pattern.encode()))
        object.__setattr__(self, "_groups", self.compiled.groups)
        object.__setattr__(self, "_named", "(?P<name>" in self.pattern)

    def find(self, text: bytes, context: bytes) -> list[tuple[int, int, Found]]:
        """Return the candidates with their start and end in ``text``; ``context`` precedes the text."""
        found = []
        for match in self.compiled.finditer(text):
            group = self._groups
            while match.start(group) < 0:
                group -= 1
            start, end = match.span(group)
            name = match.group(1) if self._named else b""
            before = context + text[max(0, start - _NEAR) : start]
            after = text[end : end + _NEAR]
            candidate = Found(_text(text[start:end]), _text(name), _text(before).lower(), _text(after))
            found.append((start, end, candidate))
        return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
