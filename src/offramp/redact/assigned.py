"""Rules for values whose name says that they are secret: in JSON, code, configuration, markup, speech."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from offramp.redact.rule import EDGE, Found, Rule
from offramp.redact.secret import ENTROPIC, PASSWORD, surrogate_password, surrogate_token

if TYPE_CHECKING:
    from offramp.redact.keyed import Keyed

_PASSWORD_NAME = re.compile(r"pass(?:word|wd|phrase|code)?$|pwd$", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"(?:pass(?:word|wd|phrase|code)|(?:^|[_-])pass|pwd|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|secret[_-]?key(?:[_-]?base)?"
    r"|private[_-]?key|auth[_-]?key|encryption[_-]?key|(?:^|[a-z_-])token|credential)$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"(?-i:\$[A-Z_{(])|%[(sd{]|\{[\w .{}]*\}+$|<[^>]*>?$|\[[\w .]*\]?$|\("
    r"|(?:null|none|nil|true|false|undefined|string|str|required|optional|hidden|masked|redacted|unknown"
    r"|empty|invalid|incorrect|correct|wrong|missing|reset|changed|your|the|must|should|field|example|hash\w*"
    r"|is|are|was|not|and|for|with|will|can|cannot|has|have|protected|expired|manager|policy)$"
    r"|(?:your|my|new|old|current|enter|insert)[_-]|x{3,}$|\*+$|\w+(?:\.\w+)*[(\[]|(?:os|process|self|config|settings|env)\.",
    re.IGNORECASE,
)


_SCHEME = re.compile(r"(?:bearer|basic|token)\s+", re.IGNORECASE)


_SUSPECT_NAME = re.compile(
    r"(?:_key|_salt|(?:^|[_-])auth|client[_-]?id|cookie|session|signature|certificate|private)$",
    re.IGNORECASE,
)
"""Names of secrets and of much else: their values are secrets where they look drawn at random."""

_SHORTEST_RANDOM = 20


def is_random(value: str) -> bool:
    """Whether a value looks drawn at random: long, of several kinds of characters, few of them repeated."""
    if len(value) < _SHORTEST_RANDOM or (" " in value and len(value) < 2 * _SHORTEST_RANDOM):
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^A-Za-z0-9\s]"))
    counts = Counter(value).values()
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
    return (kinds >= 3 and entropy >= 3.6) or (
        re.fullmatch(r"[0-9a-fA-F-]{32,}", value) is not None and entropy > 2.8
    )


@lru_cache(maxsize=4096)
def _judged(name: str) -> tuple[bool, bool]:
    """Return whether a name is one of secrets, and whether it is one of secrets and of much else."""
    return _SECRET_NAME.search(name) is not None, _SUSPECT_NAME.search(name) is not None


def surrogate_field(name: str, value: str, keyed: Keyed) -> str | None:
    """Stand in for the value of a field whose name says that it is secret.

    Returns:
        The surrogate; None where name or value is harmless (``max_tokens``, ``${PASSWORD}``, ``required``).
    """
    if not value or len(name) > 200:
        return None
    secret, suspect = _judged(name)
    if not (secret or suspect):
        return None
    if PASSWORD.fullmatch(value):
        return value if secret else None
    if secret:
        return _surrogate_named(name, value, keyed)
    if suspect and (is_random(value) or (name.endswith("auth") and _is_basic(value))):
        return surrogate_token(value, keyed)
    return None


def _surrogate_named(name: str, value: str, keyed: Keyed) -> str | None:
    if _PLACEHOLDER.match(value) and not is_random(value):
        return None
    if _PASSWORD_NAME.search(name):
        return surrogate_password(value, keyed)
    scheme = _SCHEME.match(value)
    start = scheme.end() if scheme else 0
    token = value[start:]
    mixed = name.isupper() and re.fullmatch(r"[A-Za-z]*[a-z][A-Z][A-Za-z]*", token)
    if len(token) < 8 or not (ENTROPIC.match(token) or len(token) >= 24 or mixed):
        return None
    return value[:start] + surrogate_token(token, keyed)


def _is_basic(value: str) -> bool:
    """Whether a value has the form of user and password in base64."""
    coded = re.fullmatch(r"[A-Za-z0-9+/]{12,}={0,2}", value)
    return (
        coded is not None and ENTROPIC.match(value) is not None and not (value.islower() or value.isupper())
    )


def _surrogate_assigned(found: Found, keyed: Keyed) -> str | None:
    value = found.value.rstrip(".,:!?)}]")
    made = surrogate_field(found.name, value, keyed) if len(value) >= 4 else None
    return None if made is None else made + found.value[len(value) :]


_NAME = (
    r"(?i:[a-z0-9_.-]*(?:password|passwd|passphrase|passcode|pwd|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|secret[_-]?key(?:[_-]?base)?|private[_-]?key|auth[_-]?key|encryption[_-]?key|token|credential|_key|_salt|\b_?auth)|[a-z0-9]+_pass)"
)

ASSIGNED = Rule(
    "secret",
    rf"(?P<name>{_NAME})(?:\\*[\"'`]?\s*(?:=>|:=|==?|:)|\\*[\"'],)\s*\\*"
    r"(?:\"([^\"\\\n]{4,256})\\*\"|'([^'\\\n]{4,256})\\*'|[\"'`]?([^\s\"'`\\,;&<>]{4,}))",
    r"(?i:pass|pwd|secret|key|token|credential|_salt|auth[^A-Za-z])",
    _surrogate_assigned,
    contextual=True,
)


def _surrogate_spoken(found: Found, keyed: Keyed) -> str | None:
    value = found.value.rstrip(".,:;!?)")
    said = found.name.lower().endswith(("is", ":"))
    telling = re.search(r"[^A-Za-z]", value) if said else ENTROPIC.match(value)
    if len(value) < 5 or not telling or _PLACEHOLDER.match(value):
        return None
    return surrogate_password(value, keyed) + found.value[len(value) :]


SPOKEN = Rule(
    "secret",
    r"\b(?P<name>(?i:password|passphrase|passcode|pwd)(?: is:?)?)\s+[\"'`]?([^\s\"'`\\<>]{5,})",
    r"(?i:pass|pwd)",
    _surrogate_spoken,
    contextual=True,
)

MARKUP = Rule(
    "secret",
    r"<(?P<name>(?i:[a-z]*(?:pass(?:word|wd)?|secret|token|apikey)))(?:\s[^<>]{0,200})?>([^<>]{4,})</",
    r"(?i:<[a-z]*(?:pass|secret|token|apikey))",
    _surrogate_assigned,
    contextual=True,
)


def _surrogate_quoted(found: Found, keyed: Keyed) -> str | None:
    return None if _PLACEHOLDER.match(found.value) else surrogate_password(found.value, keyed)


CONFIGURED = Rule(
    "secret",
    # A line of its own, as in .esmtprc; .pgpass; a call that logs in.
    r"(?m:^[ \t]*(?i:password|passwd|pass)[ \t]+[\"']([^\"'\n]{4,100})[\"'][ \t]*$)"
    r"|(?m:^[A-Za-z0-9_.*-]{1,100}:(?:\d{4,5}|\*):[^:\s]{1,100}:[^:\s]{1,100}:([^\s:]{4,100})$)"
    r"|(?i:\blog_?[io]n|\bauthenticate|\bsign_?in)\([ ]?[\"'][^\"'\n]{3,100}[\"'], ?"
    r"[\"']([^\"'\n]{4,100})[\"']",
    r"(?i:pass)|:(?:\d{4,5}|\*):|(?i:log_?[io]n|authenticate|sign_?in)\(",
    _surrogate_quoted,
    contextual=True,
    shortest=12,
)


def _surrogate_hash(found: Found, keyed: Keyed) -> str | None:
    return surrogate_token(found.value, keyed)


HASH = Rule(
    "password_hash",
    EDGE + r"(\$(?:2[abxy]?|1|5|6|apr1|argon2(?:id|i|d)|scrypt|y|7)\$[A-Za-z0-9./$=,+-]{20,})",
    r"\$(?:2[abxy]?|1|5|6|apr1|argon2(?:id|i|d)|scrypt|y|7)\$",
    _surrogate_hash,
    shortest=24,
)
