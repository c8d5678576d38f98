"""Keyed surrogates: the same value under the same key always gives the same stand-in."""

from __future__ import annotations

import hashlib
import hmac
import string

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aeiou"
_SYLLABLES = tuple(c + v for c in _CONSONANTS for v in _VOWELS)

MARK = "EXAMPLE"
"""Ends the surrogate of a secret, as in the key that AWS prints in its documentation."""


_LONGEST = 512
_SHORTEST = 16
_MOST_DIGITS = 4_000
"""Python refuses to write numbers of more than 4,300."""


class Keyed:
    """Pseudorandom text of a wanted shape, a function of key, kind and value alone (HMAC-SHA-512).

    Args:
        key: Secret of the store, at least 16 bytes; who lacks it cannot link a surrogate to a value.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def number(self, kind: str, value: str, below: int) -> int:
        """Return an integer in ``[0, below)``; ``below`` may be astronomically large."""
        drawn = b""
        # 16 bytes more than needed keep the bias of the modulo under 2^-128.
        wanted = below.bit_length() // 8 + 17
        message = f"{kind}\0{value}\0".encode("utf-8", "surrogatepass")
        while len(drawn) < wanted:
            drawn += hmac.digest(self._key, message + bytes([len(drawn) // 64 % 256]), hashlib.sha512)
        return int.from_bytes(drawn) % below

    def digits(self, kind: str, value: str, length: int) -> str:
        """Return ``length`` decimal digits; beyond 4,000 they repeat."""
        if not length:
            return ""
        drawn = min(length, _MOST_DIGITS)
        made = str(self.number(kind, value, 10**drawn)).zfill(drawn)
        return (made * -(-length // drawn))[:length]

    def word(self, kind: str, value: str, syllables: int) -> str:
        """Return a pronounceable lower-case word, two letters per syllable."""
        drawn = self.number(kind, value, len(_SYLLABLES) ** syllables)
        parts = []
        for _ in range(syllables):
            drawn, at = divmod(drawn, len(_SYLLABLES))
            parts.append(_SYLLABLES[at])
        return "".join(parts)

    def alike(self, kind: str, value: str, shape: str = "") -> str:
        """Return text shaped like ``shape`` (default: the value), at most 512 characters of it.

        Digits stand for digits, letters for letters; anything else stays as it is.
        """
        shape = (shape or value)[:_LONGEST]
        drawn = self.number(kind, value, 26 ** len(shape) if shape else 1)
        made = []
        for char in shape:
            drawn, at = divmod(drawn, 26)
            made.append(_like(char, at))
        return "".join(made)

    def secret(self, kind: str, value: str) -> str:
        """Return text like ``value`` that ends in MARK, 16 to 512 characters long."""
        return self.alike(kind, value, value.ljust(_SHORTEST, "a"))[: -len(MARK)] + MARK


def _like(char: str, at: int) -> str:
    if char in string.digits:
        return string.digits[at % 10]
    if char in string.ascii_lowercase:
        return string.ascii_lowercase[at]
    if char in string.ascii_uppercase:
        return string.ascii_uppercase[at]
    return string.ascii_lowercase[at] if char.isalnum() else char


def is_word(text: str, syllables: int) -> bool:
    """Whether ``text`` has the shape that ``Keyed.word`` gives."""
    return len(text) == 2 * syllables and all(text[i : i + 2] in _SYLLABLES for i in range(0, len(text), 2))


def lay(form: str, digits: str) -> str:
    """Put ``digits`` in the places of the digits of ``form``."""
    rest = iter(digits)
    return "".join(next(rest) if char in string.digits else char for char in form)
