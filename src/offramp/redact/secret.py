"""Rules for what grants access: keys, tokens, passwords; and for encoded content nobody can read."""

from __future__ import annotations

import re

from offramp.redact.keyed import MARK, Keyed
from offramp.redact.rule import EDGE, Found, Rule

_PASSWORD = re.compile(r"pw-[a-z]{10}-example")
_ENTROPIC = re.compile(r"(?=.*\d)(?=.*[A-Za-z])")


def surrogate_password(value: str, keyed: Keyed) -> str:
    """Stand in ``pw-`` ten letters ``-example``, whatever the length of the password."""
    if _PASSWORD.fullmatch(value):
        return value
    return f"pw-{keyed.alike('password', value, 'a' * 10)}-example"


def surrogate_token(value: str, keyed: Keyed) -> str:
    """Stand in text of the same shape that ends in EXAMPLE; the prefix that tells whose key it is stays.

    One function for every rule that finds tokens, so that a token is the same surrogate wherever it stands.
    """
    if len(value) >= 16 and value.endswith(MARK):
        return value
    prefix = _PREFIX.match(value)
    kept = prefix.group() if prefix else ""
    return kept + keyed.secret("token", value[len(kept) :])


def _surrogate_found(found: Found, keyed: Keyed) -> str | None:
    return surrogate_token(found.value, keyed)


_PREFIX = re.compile(
    r"sk-(?:ant-|proj-|or-|svcacct-)?|(?:sk|rk|pk)_(?:live|test)_|gh[opsur]_|github_pat_|glpat-|A[KS]IA|AIza|ya29\."
    r"|xox[abeoprs]-|xapp-|hf_|npm_|pypi-|dop_v1_|shp(?:at|ss|ca)_|SG\.|gsk_|xai-|nvapi-|r8_|eyJ"
)

_HINT = (
    r"sk-|[srp]k_(?:live|test)_|gh[opsur]_|github_pat_|glpat-|A[KS]IA|AIza|ya29\.|xox|xapp-|hf_|npm_|pypi-|dop_v1_"
    r"|shp|SG\.|gsk_|xai-|nvapi-|r8_"
)

API_KEY = Rule(
    "api_key",
    EDGE + r"(sk-[A-Za-z0-9_-]{16,}|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|gh[opsur]_[A-Za-z0-9]{30,}"
    r"|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{16,}|A[KS]IA[A-Z0-9]{16}\b|AIza[A-Za-z0-9_-]{30,}"
    r"|ya29\.[A-Za-z0-9_-]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{20,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{50,}|dop_v1_[a-zA-Z0-9]{40,}|shp(?:at|ss|ca)_[a-zA-Z0-9]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|gsk_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{30,}|nvapi-[A-Za-z0-9_-]{30,}"
    r"|r8_[A-Za-z0-9]{30,})",
    _HINT,
    _surrogate_found,
)

SLACK_HOOK = Rule(
    "api_key",
    r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,})",
    r"hooks\.slack\.com",
    _surrogate_found,
)

JWT = Rule(
    "jwt",
    EDGE + r"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    r"eyJ",
    _surrogate_found,
)


def _surrogate_private_key(found: Found, keyed: Keyed) -> str | None:
    """The whole body goes; the armour stays."""
    newline = "\\n" if "\\n" in found.value else "\n"
    if found.value.removesuffix(newline).endswith(MARK):
        return found.value
    return newline + keyed.alike("private key", found.value, "aA0a" * 14) + MARK + newline


PRIVATE_KEY = Rule(
    "private_key",
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----((?:[^-]|-[^-]){20,})",
    r"PRIVATE KEY",
    _surrogate_private_key,
)


def _surrogate_bearer(found: Found, keyed: Keyed) -> str | None:
    return surrogate_token(found.value, keyed) if _ENTROPIC.match(found.value) else None


BEARER = Rule(
    "bearer_token",
    r"(?i:\b(?:bearer|basic|authorization:? token)\s+)([A-Za-z0-9._~+/=-]{16,})",
    r"(?i:bearer|basic|token)\s",
    _surrogate_bearer,
)


def _surrogate_aws_secret(found: Found, keyed: Keyed) -> str | None:
    """Forty characters of base64 are AWS's secret where the words before them say so."""
    mixed = re.search(r"[a-z]", found.value) and re.search(r"[A-Z]", found.value)
    named = re.search(r"secret|aws|akia|asia", found.before)
    if not (mixed and named) or re.match(r"[A-Za-z0-9/+=]", found.after):
        return None
    return surrogate_token(found.value, keyed)


AWS_SECRET = Rule(
    "aws_secret",
    r"(?:^|[^A-Za-z0-9/+=]|\\n)([A-Za-z0-9/+]{40})",
    r"(?i:secret|aws|akia|asia)",
    _surrogate_aws_secret,
)

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


def surrogate_field(name: str, value: str, keyed: Keyed) -> str | None:
    """Stand in for the value of a field whose name says that it is secret.

    Returns:
        The surrogate; None where name or value is harmless (``max_tokens``, ``${PASSWORD}``, ``required``).
    """
    if not _SECRET_NAME.search(name) or _PLACEHOLDER.match(value) or not value:
        return None
    if _PASSWORD.fullmatch(value):
        return value
    if _PASSWORD_NAME.search(name):
        return surrogate_password(value, keyed)
    scheme = _SCHEME.match(value)
    start = scheme.end() if scheme else 0
    token = value[start:]
    if len(token) < 8 or not (_ENTROPIC.match(token) or len(token) >= 24):
        return None
    return value[:start] + surrogate_token(token, keyed)


def _surrogate_assigned(found: Found, keyed: Keyed) -> str | None:
    value = found.value.rstrip(".,:!?)}]")
    made = surrogate_field(found.name, value, keyed) if len(value) >= 4 else None
    return None if made is None else made + found.value[len(value) :]


_NAME = (
    r"(?i:[a-z0-9_.-]*(?:password|passwd|passphrase|passcode|pwd|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|secret[_-]?key(?:[_-]?base)?|private[_-]?key|auth[_-]?key|encryption[_-]?key|token|credential)|[a-z0-9]+_pass)"
)

ASSIGNED = Rule(
    "secret",
    rf"(?P<name>{_NAME})(?:\\*[\"'`]?\s*(?:=>|:=|==?|:)|\\*[\"'],)\s*\\*"
    r"(?:\"([^\"\\\n]{4,256})\\*\"|'([^'\\\n]{4,256})\\*'|[\"'`]?([^\s\"'`\\,;&<>]{4,}))",
    r"(?i:pass|pwd|secret|key|token|credential)",
    _surrogate_assigned,
    contextual=True,
)


def _surrogate_spoken(found: Found, keyed: Keyed) -> str | None:
    value = found.value.rstrip(".,:;!?)")
    said = found.name.lower().endswith(("is", ":"))
    telling = re.search(r"[^A-Za-z]", value) if said else _ENTROPIC.match(value)
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


def _surrogate_blob(found: Found, keyed: Keyed) -> str | None:
    """Encoded images, audio and files cannot be searched for personal data, so nothing of them stays."""
    if not (_ENTROPIC.match(found.value) and re.search(r"[A-Z]", found.value)):
        return None
    return keyed.alike("blob", found.value, "aA0a" * 16)


BLOB = Rule("encoded_blob", r"([A-Za-z0-9+/_-]{256,}={0,2})", "", _surrogate_blob, shortest=256)
