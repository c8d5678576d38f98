"""What context gave away in one place is replaced wherever else in the call it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from offramp.redact.part import Part, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping


class Echo:
    """Replaces values by their surrogates, as whole words.

    Args:
        echoes: The surrogates by value.
    """

    def __init__(self, echoes: Mapping[str, str]) -> None:
        self._echoes = echoes
        self._raw = {value: value.encode("utf-8", "surrogatepass") for value in echoes}
        longest_first = sorted(echoes, key=len, reverse=True)
        self._pattern = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")

    def apply(self, value: Any, tally: Tally) -> Any:
        """Return a JSON value with surrogates; what was replaced is added to the tally."""
        if isinstance(value, dict | list):
            part = tally.parts.get(id(value))
            if part is not None:
                return self._part(part, tally)
        if isinstance(value, dict):
            return {key: self.apply(item, tally) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, tally) for item in value]
        if isinstance(value, str):
            return self._text(value, tally)
        if isinstance(value, int) and str(value) in self._echoes:
            tally.counts["echo"] += 1
            return int(self._echoes[str(value)])
        return value

    def _part(self, part: Part, tally: Tally) -> Any:
        """Look into a message only where one of the values stands in it, and once only."""
        there = {
            value: self._echoes[value]
            for value, raw in self._raw.items()
            if raw in part.raw or value.isdecimal()
        }
        if not there:
            return part.made
        if part.echoed is None or part.echoed[0] != there:
            own = Tally()
            made = Echo(there).apply(part.made, own)
            part.echoed = there, Part(made, own.counts, {}, own.pairs, b"")
        after = part.echoed[1]
        tally.add(after)
        tally.parts[id(after.made)] = after
        return after.made

    def _text(self, text: str, tally: Tally) -> str:
        def stand_in(match: re.Match[str]) -> str:
            value = match.group()
            tally.counts["echo"] += 1
            tally.pairs[value] = self._echoes[value]
            return self._echoes[value]

        return self._pattern.sub(stand_in, text)
