"""Normal forms: two values are the same in some sense where their normal forms are equal."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any, Final

_AROUND: Final = "\"'` .!"
_MARKS: Final = r"[,./_*^'\"`;:!?()-]+"
_NOISE: Final = re.compile(
    rf"(?<![0-9]){_MARKS}(?![0-9])|(?<=[0-9]){_MARKS}(?![0-9])|(?<=[^\W\d_])-(?=[0-9])"
)
_SPACE: Final = re.compile(r"(?<![0-9])\s+|\s+(?![0-9])")


def label(text: str) -> str:
    """Drop case, repeated white space, and quotes and full stops around a text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_AROUND)


def loose(text: str) -> str:
    """Drop case, white space and punctuation, but for those of numbers.

    ``1.5`` does not become ``15``, nor ``-5`` ``5``, nor ``2 3`` ``23``: what is between digits stays, and
    punctuation before a digit, but for a hyphen that joins it to a letter (``gpt-4``).
    """
    return _SPACE.sub("", _NOISE.sub("", unicodedata.normalize("NFKC", text).casefold()))


def whole(value: Any) -> Any:
    """Make whole floats integers, all the way down.

    Raises:
        ValueError: A number is not finite, which JSON cannot hold.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number is not finite")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def loose_values(value: Any) -> Any:
    """Make whole floats integers and strings loose, all the way down; keys stay as they are.

    Raises:
        ValueError: A number is not finite.
    """
    if isinstance(value, str):
        return loose(value)
    if isinstance(value, dict):
        return {key: loose_values(item) for key, item in value.items()}
    return [loose_values(item) for item in value] if isinstance(value, list) else whole(value)
