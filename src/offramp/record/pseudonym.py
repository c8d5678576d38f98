"""Keyed pseudonyms of who asked: equal where the origin is equal, meaningless without the key."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_NAMED = ("user", "safety_identifier", "prompt_cache_key")


class Pseudonyms:
    """Makes pseudonyms with HMAC-SHA-256.

    Args:
        key: Secret of the store, at least 16 bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, *values: str) -> str:
        """Return the pseudonym of some values: ``kind`` and 16 hexadecimal digits."""
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        message = "\0".join((kind, *(f"{len(value)}:{value}" for value in values)))
        digest = hmac.digest(self._key, message.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{kind}-{digest[:8].hex()}"


def who_asked(pseudonyms: Pseudonyms, credential: str, client: str) -> str:
    """Return the pseudonym of a credential, or of the client's address where none was sent."""
    return pseudonyms.of("who", credential, "" if credential else client)


def origin_of(pseudonyms: Pseudonyms, who: str, request: JsonObject) -> str:
    """Return the pseudonym of who asked: ``who`` of :func:`who_asked`, and the request's ``user``."""
    user = str(request.get("user") or request.get("safety_identifier") or "")
    return pseudonyms.of("origin", who, user)


def rename(pseudonyms: Pseudonyms, request: JsonObject) -> JsonObject:
    """Return the request with pseudonyms where callers put identities.

    These are ``user``, ``safety_identifier``, ``prompt_cache_key``, every text in ``metadata``, and the
    ``name`` of user messages.
    """
    renamed = dict(request)
    for name in _NAMED:
        if isinstance(request.get(name), str) and request[name]:
            renamed[name] = pseudonyms.of("user", request[name])
    if isinstance(request.get("metadata"), dict):
        renamed["metadata"] = {key: _rename(pseudonyms, value) for key, value in request["metadata"].items()}
    if isinstance(request.get("messages"), list):
        renamed["messages"] = [_speaker(pseudonyms, message) for message in request["messages"]]
    return renamed


def _rename(pseudonyms: Pseudonyms, value: Any) -> Any:
    if isinstance(value, str):
        return pseudonyms.of("user", value)
    if isinstance(value, dict | list):
        return pseudonyms.of("user", repr(value))
    return value


def _speaker(pseudonyms: Pseudonyms, message: Any) -> Any:
    if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("name"), str):
        return message | {"name": pseudonyms.of("user", message["name"])}
    return message
