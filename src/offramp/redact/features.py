"""Tokens of a text, and the numbered features by which the recogniser judges them.

A token's features are those of its own form, of the three tokens on either side, and of neighbouring pairs.
All but the pairs depend on one word alone, so they are computed once per distinct word; pairs are hashed in
numpy. Weights are found by feature hashing (Weinberger et al. 2009, arXiv:0902.2206): there is no dictionary.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.redact.words import membership

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKEN = re.compile(r"[^\W\d_]+|\d+|\n|_|[^\w\s]")
PAD = "\0"
REACH = 3
"""Tokens on either side that are looked at."""

OFFSETS = (0, -1, 1, -2, 2, -3, 3)
_BITS = (15, 13, 13, 12, 12, 11, 11)
_PAIR_BITS = (13, 14, 14, 13, 12)
SIZES = tuple(1 << bits for bits in _BITS)
PAIR_SIZES = tuple(1 << bits for bits in _PAIR_BITS)
STARTS = tuple(int(start) for start in np.cumsum((0, *SIZES, *PAIR_SIZES)))
"""First row of each block of weights; the last number is the count of all rows."""

WIDTHS = (13, 6, 6, 4, 4, 2, 2)
"""Features per token and offset, at most."""

_PAIR_MULTIPLIERS = np.array([2654435761, 2246822519, 3266489917, 668265263, 374761393], np.uint64)[:, None]
_PAIR_MASKS = np.array(PAIR_SIZES, np.uint64)[:, None] - np.uint64(1)
_PAIR_STARTS = np.array(STARTS[len(SIZES) : -1], np.uint64)[:, None]
_MIXER, _LOW, _SHIFT = np.uint64(1000003), np.uint64(0xFFFFFFFF), np.uint64(17)


@dataclass(frozen=True, slots=True)
class Word:
    """What is computed once per distinct word.

    Attributes:
        rows: For each of OFFSETS, the rows of its weights.
        word: Hash of the word.
        form: Hash of its shape and ending.
        shape: Hash of its shape.
    """

    rows: tuple[tuple[int, ...], ...]
    word: int
    form: int
    shape: int


def shape_of(token: str) -> str:
    """Return the outline of a token: ``Xx``, ``XX``, ``d5``, or the character itself."""
    if token.isdigit():
        return f"d{min(len(token), 9)}"
    if not token.isalpha():
        return token
    if len(token) == 1:
        return "X1" if token.isupper() else "x1"
    if token.isupper():
        return "XX"
    return "Xx" if token[0].isupper() else "x"


def word_of(token: str, *, caseless: bool, sparing: bool = False) -> Word:
    """Compute a word's features.

    Args:
        token: The token as written.
        caseless: Whether its text has letters of one case only, so that capitals say nothing.
        sparing: Leave out what identifies the word, so that a model under training learns from the rest.
    """
    low = token.lower()
    shape = ("u" if token.isalpha() else shape_of(token)) if caseless else shape_of(token)
    lists = membership().get(low, "-" if len(low) > 1 else "")
    mark = "~" if caseless else ""
    if token.isdigit():
        low = shape
    kind = [f"s{shape}", f"g{mark}{lists}", f"e{mark}{low[-3:]}", f"q{shape}{low[-2:]}"]
    own = [
        *kind,
        f"n{shape}{min(len(low), 12)}",
        f"b{mark}{low[:2]}",
        f"G{shape}{lists}",
        "1",
        "u" if caseless else "U",
    ]
    if not sparing:
        own += [f"w{mark}{low}", f"p{low[:3]}", f"f{low[-4:]}", f"P{low[:4]}"]
    near = [f"w{low}", *kind, "u" if caseless else "U"]
    far = [f"w{low}", f"s{shape}", f"e{low[-3:]}", f"g{lists}"]
    last = [f"w{low}", f"s{shape}"]
    features = (own, near, near, far, far, last, last)
    rows = tuple(
        tuple(STARTS[block] + _hash(feature) % SIZES[block] for feature in listed)
        for block, listed in enumerate(features)
    )
    return Word(rows, _hash(low), _hash(f"{shape}{low[-3:]}"), _hash(shape))


def _hash(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))


def pair_rows(
    word: NDArray[np.uint64], form: NDArray[np.uint64], shape: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the rows of the pair features, (5, tokens), of hashes padded by REACH on either side."""
    count = len(word) - 2 * REACH

    def at(hashes: NDArray[np.uint64], offset: int) -> NDArray[np.uint64]:
        return hashes[REACH + offset : REACH + offset + count]

    turned, outline = word * _MIXER, shape * _MIXER
    middle = at(form, 0)
    mixed = np.empty((len(PAIR_SIZES), count), np.uint64)
    np.add(at(turned, -2), at(word, -1), out=mixed[0])
    np.add(at(turned, -1), middle, out=mixed[1])
    np.add(middle * _MIXER, at(word, 1), out=mixed[2])
    np.add(at(turned, 1), at(word, 2), out=mixed[3])
    np.add(at(outline, -1), middle, out=mixed[4])
    mixed[4] &= _LOW
    mixed[4] *= _MIXER
    mixed[4] += at(shape, 1)
    mixed &= _LOW
    mixed *= _PAIR_MULTIPLIERS
    mixed >>= _SHIFT
    mixed &= _PAIR_MASKS
    mixed += _PAIR_STARTS
    return mixed.view(np.int64)


def is_caseless(text: str) -> bool:
    """Whether letters of one case only stand in the text."""
    return text.islower() or text.isupper()
