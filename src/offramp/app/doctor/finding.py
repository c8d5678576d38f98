"""What a check found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result.

    Attributes:
        name: What was checked.
        level: How bad it is: a failure keeps offramp from working, a warning from working as meant.
        found: What was found.
        hint: What to do; "" where all is well.
    """

    name: str
    level: Level
    found: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing keeps offramp from working."""
        return self.level is not Level.FAIL


def well(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, found)


def warning(name: str, found: str, hint: str) -> Finding:
    """It works, and not as meant."""
    return Finding(name, Level.WARN, found, hint)


def failure(name: str, found: str, hint: str) -> Finding:
    """It cannot work."""
    return Finding(name, Level.FAIL, found, hint)
