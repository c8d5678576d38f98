"""The recogniser's word lists: names, places, and words that tell nothing by themselves."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

ASSETS = "offramp.assets"
FOLDER = "recogniser"

WORD = re.compile(r"(?<![^\W_])(?:[^\W\d_]+|\d{5,})(?![^\W_])")
"""Whole words and numbers; what has both letters and digits is a code, and no name."""


@cache
def sections() -> dict[str, tuple[str, ...]]:
    """Return the lists by name, each word lower case, in the file's order."""
    text = (resources.files(ASSETS) / FOLDER / "words.txt").read_text(encoding="utf-8")
    result: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            result[name] = (*result.get(name, ()), *line.split())
    return result


@cache
def membership() -> dict[str, str]:
    """Return for each listed word the lists that hold it, one letter each, as a feature of the recogniser."""
    letters = {name: letter for letter, name in zip("fmlcorgtd", sections(), strict=True)}
    found: dict[str, str] = {}
    for name, listed in sections().items():
        for word in listed:
            found[word] = found.get(word, "") + letters[name]
    return found


@cache
def listed(name: str) -> frozenset[str]:
    """Return one list for looking up."""
    return frozenset(sections()[name])
