"""Lines of the table, and whether any promise of ours was broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.certify.gates import DELTA

from offramp.certify.bounds import interval, lower

if TYPE_CHECKING:
    from collections.abc import Iterable

SURE = 0.001
"""A share is significantly above delta where chance makes one so large this rarely."""


def share(wrong: Iterable[bool]) -> str:
    """Print a share with its exact 95 % interval."""
    flags = list(wrong)
    low, high = interval(len(flags), sum(flags), 0.05)
    return f"{sum(flags) / len(flags):.3f} [{low:.3f}, {high:.3f}]"


@dataclass
class Table:
    """Prints lines as they come, and keeps count of what was promised.

    Attributes:
        only: Settings are run whose name holds this text.
        widths: Of the columns after the name.
        checked: Promises that were checked.
        broken: Names of those whose share is significantly above delta.
    """

    only: str = ""
    widths: tuple[int, ...] = (6, 6, 10, 9, 21, 21, 21, 21, 21)
    checked: int = 0
    broken: list[str] = field(default_factory=list)

    def title(self, name: str, *columns: object) -> None:
        """Print the head of a table."""
        print()
        self.line(name, *columns)

    def line(self, name: str, *columns: object) -> None:
        """Print one line."""
        cells = " ".join(f"{cell!s:>{width}}" for cell, width in zip(columns, self.widths, strict=False))
        print(f"{name:<56} {cells}".rstrip(), flush=True)

    def promise(self, name: str, wrong: Iterable[bool]) -> str:
        """Check a promise of ours, and return its share."""
        flags = [bool(flag) for flag in wrong]
        self.checked += 1
        if lower(len(flags), sum(flags), SURE) > DELTA:
            self.broken.append(name)
        return share(flags)
