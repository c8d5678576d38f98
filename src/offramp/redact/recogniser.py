"""What finds names, places and the like: the port, and the spans it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

PERSON = "person"
PLACE = "place"
ADDRESS = "address"
ORGANISATION = "organisation"
DATE = "date"
AGE = "age"
TITLE = "title"
KINDS = (PERSON, PLACE, ADDRESS, ORGANISATION, DATE, AGE, TITLE)
"""``date`` is any date or weekday, ``title`` a form of address or an occupation."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a text.

    Attributes:
        start: First character.
        end: Character after the last.
        kind: One of KINDS.
    """

    start: int
    end: int
    kind: str


class Recogniser(Protocol):
    """Finds what no rule can: names, places, organisations."""

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return the spans of each text, in order and not overlapping."""
        ...
