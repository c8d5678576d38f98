"""Rules for addresses of machines: credentials in URLs, IPv4 and IPv6."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from offramp.redact.rule import EDGE, Found, Rule
from offramp.redact.secret import surrogate_password, surrogate_token

if TYPE_CHECKING:
    from offramp.redact.keyed import Keyed

_USER_SYLLABLES = 4


def surrogate_userinfo(found: Found, keyed: Keyed) -> str | None:
    """Stand in user and password of ``scheme://user:password@host``."""
    user, colon, password = found.value.partition(":")
    if not colon:
        return None  # ssh://git@host grants nothing by itself
    made = surrogate_password(password, keyed)
    if made == password:
        return found.value
    return (keyed.word("user", user, _USER_SYLLABLES) if user else "") + colon + made


USERINFO = Rule(
    "url_credentials",
    r"[A-Za-z]://([^\s/?#\"'<>\\]{1,512})@[^\s@/?#]",
    r"://",
    surrogate_userinfo,
)


def surrogate_query(found: Found, keyed: Keyed) -> str | None:
    """Stand in the value of a URL parameter that grants access."""
    return surrogate_token(found.value, keyed) if re.search(r"\d", found.value) else None


QUERY = Rule(
    "url_credentials",
    r"[?&;](?i:(?:[a-z_-]*-)?signature|sig|auth|key)=([^\s&#\"'<>\\;]{12,})",
    r"[?&;](?i:[a-z_-]*signature|sig|auth|key)=",
    surrogate_query,
)


def surrogate_ipv4(found: Found, keyed: Keyed) -> str | None:
    """Stand in an address of 240.0.0.0/4, which is reserved and never routed."""
    if re.match(r"\.?\w", found.after) or re.search(r"(?:\bv|version\W{0,3}|[a-z]/)$", found.before):
        return None  # a version number has the same shape
    try:
        address = ipaddress.IPv4Address(found.value)
    except ValueError:
        return None
    if _says_nothing(address) or address.is_reserved:
        return found.value
    return str(ipaddress.IPv4Address((15 << 28) + keyed.number("ipv4", str(address), (1 << 28) - 1)))


def _says_nothing(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast


IPV4 = Rule(
    "ip_address",
    r"(?:^|[^0-9A-Za-z_.-]|\\[nrt]|[a-z]-)(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})",
    r"\d\.\d{1,3}\.\d{1,3}\.\d",
    surrogate_ipv4,
)

_DOCUMENTATION = ipaddress.IPv6Network("2001:db8::/32")


def surrogate_ipv6(found: Found, keyed: Keyed) -> str | None:
    """Stand in an address of 2001:db8::/32, the range for documentation."""
    try:
        address = ipaddress.IPv6Address(found.value)
    except ValueError:
        return None
    groups = found.value.split(":")
    if len(groups) < 8 and not re.fullmatch(r"[23][0-9a-f]{3}|f[cde][0-9a-f]{2}", groups[0].lower()):
        return None  # "dead::beef" is an address by grammar, and a name in a program by use
    if address in _DOCUMENTATION or _says_nothing(address):
        return found.value
    drawn = keyed.number("ipv6", str(address), 1 << 96)
    return str(_DOCUMENTATION.network_address + drawn)


IPV6 = Rule(
    "ip_address",
    EDGE + r"([0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{3,40}[0-9A-Fa-f])\b",
    r"[0-9A-Fa-f]:[0-9A-Fa-f:]{3}",
    surrogate_ipv6,
)
