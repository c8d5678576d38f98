"""Rules for what grants access: keys, tokens, passwords; and for encoded content nobody can read."""

from __future__ import annotations

import re

from offramp.redact.keyed import MARK, Keyed
from offramp.redact.rule import EDGE, Found, Rule

PASSWORD = re.compile(r"pw-[a-z]{10}-example")
ENTROPIC = re.compile(r"(?=.*\d)(?=.*[A-Za-z])")


def surrogate_password(value: str, keyed: Keyed) -> str:
    """Stand in ``pw-`` ten letters ``-example``, whatever the length of the password."""
    if PASSWORD.fullmatch(value):
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


def surrogate_found(found: Found, keyed: Keyed) -> str | None:
    """Stand in for a token as a whole."""
    return surrogate_token(found.value, keyed)


_PREFIX = re.compile(
    r"sk-(?:ant-|proj-|or-|svcacct-|lf-)?|pk-lf-|(?:sk|rk|pk)_(?:live|test)_|gh[opsur]_|github_pat_"
    r"|gl(?:pat|ptt|dt|rt|soat|cbt)-|A(?:KIA|SIA|GPA|IDA|ROA|IPA|NPA|NVA|BIA|CCA|BSK)|AIza|ya29\.|GOCSPX-|xox[abeoprs]-"
    r"|(?:hf|npm|rubygems|dckr_pat|do[opr]_v1|shp(?:at|ss|ca|pa)|gsk|r8|fw|pcsk|lsv2_(?:pt|sk)|ph[cx]|ntn|secret"
    r"|lin_(?:api|oauth)|gl(?:c|sa)|figd|sntry[su]|sbp|nfp|pscale_(?:tkn|pw|oauth)|whsec)_|xapp-|pypi-|SG\.|xai-|nvapi-|pplx-|tvly-|hv[bs]\.|dapi"
    r"|dp\.(?:pt|st|ct)\.|ATATT3|NRAK-|PMAK-|HRKU-|sq0(?:atp|csp|idp)-|key-|AGE-SECRET-KEY-1|eyJ"
    r"|\$(?:2[abxy]?|1|5|6|apr1|argon2(?:id|i|d)|scrypt|y|7)\$|base64:"
)
"""What stays at the head of a surrogate: it tells whose key it is, and opens nothing."""

SLACK_HOOK = Rule(
    "api_key",
    r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_-]{20,})",
    r"hooks\.slack\.com",
    surrogate_found,
)

JWT = Rule(
    "jwt",
    EDGE + r"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    r"eyJ",
    surrogate_found,
)


def _surrogate_private_key(found: Found, keyed: Keyed) -> str | None:
    """The whole body goes; the armour stays."""
    newline = "\\n" if "\\n" in found.value else "\n"
    if found.value.removesuffix(newline).endswith(MARK):
        return found.value
    return newline + keyed.alike("private key", found.value, "aA0a" * 14) + MARK + newline


PRIVATE_KEY = Rule(
    "private_key",
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----((?:[^-]|-[^-]){20,})"
    r"|Private-Lines: \d{1,3}((?:(?:\r?\n|\\n)[A-Za-z0-9+/=]{4,}){1,200}(?:\r?\n|\\n)?)",
    r"PRIVATE KEY|Private-Lines: \d",
    _surrogate_private_key,
)


def _surrogate_bearer(found: Found, keyed: Keyed) -> str | None:
    return surrogate_token(found.value, keyed) if ENTROPIC.match(found.value) else None


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
    contextual=True,
)


def _surrogate_blob(found: Found, keyed: Keyed) -> str | None:
    """Encoded images, audio and files cannot be searched for personal data, so nothing of them stays."""
    if not (ENTROPIC.match(found.value) and re.search(r"[A-Z]", found.value)):
        return None
    return keyed.alike("blob", found.value, "aA0a" * 16)


BLOB = Rule("encoded_blob", r"([A-Za-z0-9+/_-]{256,}={0,2})", "", _surrogate_blob, shortest=256)
