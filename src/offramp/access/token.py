"""The text of a key: ``ofk_<id>_<secret>``, made to be found by secret scanners and checked without a store.

The secret is 38 random letters and digits (226 bits) and a checksum of six. A key of that entropy cannot be
guessed, so it is stored as an HMAC-SHA-256 under a key that the master key gives, salted with its id: a slow
hash (bcrypt, argon2) makes guessing dearer where people choose what is hashed, and would here cost a tenth
of a second per unknown key, which is an attack in itself.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib

PREFIX = "ofk_"
_ALPHABET = string.digits + string.ascii_letters
_ID = string.digits + string.ascii_lowercase
_ID_LENGTH = 10
_SECRET_LENGTH = 38
_CHECK_LENGTH = 6
_FORM = re.compile(rf"ofk_([0-9a-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH + _CHECK_LENGTH}}})\Z")


def mint() -> tuple[str, str]:
    """Return a new key's id and its whole text."""
    number = "".join(secrets.choice(_ID) for _ in range(_ID_LENGTH))
    body = PREFIX + number + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    return number, body + _checksum(body)


def read(text: str) -> str | None:
    """Return the id that a key's text names, None where the text is no key or was mistyped."""
    match = _FORM.match(text)
    if match is None or not hmac.compare_digest(_checksum(text[:-_CHECK_LENGTH]), text[-_CHECK_LENGTH:]):
        return None
    return match.group(1)


def hashed(secret: bytes, number: str, text: str) -> str:
    """Return what is stored of a key: HMAC-SHA-256 of its id (the salt) and its text, hexadecimal."""
    return hmac.digest(secret, f"{number}\0{text}".encode(), hashlib.sha256).hex()


def matches(secret: bytes, number: str, text: str, stored: str) -> bool:
    """Whether a key's text is the one whose hash is stored; takes the same time for any wrong one."""
    return hmac.compare_digest(hashed(secret, number, text), stored)


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    made = ""
    for _ in range(_CHECK_LENGTH):
        rest, at = divmod(rest, len(_ALPHABET))
        made = _ALPHABET[at] + made
    return made
