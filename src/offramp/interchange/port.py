"""What every file format can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.call import Call
    from offramp.core.json import JsonObject


class Format(Protocol):
    """One tool's form of a recorded call.

    What is read is raw: ``origin`` holds the user's name and ``session`` the session's, as the file has
    them, and nothing is masked. Whoever stores it does that first.
    """

    @property
    def name(self) -> str:
        """The word for it on the command line."""
        ...

    @property
    def title(self) -> str:
        """What it is, in a line."""
        ...

    def recognises(self, row: JsonObject) -> bool:
        """Whether a row is of this format, by keys that no other format has."""
        ...

    def read(self, row: JsonObject, number: int) -> Iterator[Call]:
        """Yield the row's calls; a row that holds none (a span that is no model call) yields nothing.

        Args:
            row: The row.
            number: Its number in the file, from 1; stands in for a missing time.

        Raises:
            ValueError: The row is not what the format says.
            TypeError: The same.
            KeyError: The same.
        """
        ...

    def write(self, call: Call) -> JsonObject:
        """Return the row of a call.

        Raises:
            ValueError: The format has no place for it.
        """
        ...
