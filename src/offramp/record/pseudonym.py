"""Keyed pseudonyms of who asked: equal where the origin is equal, meaningless without the key."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import decode, encode_text

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_NAMED = ("user", "safety_identifier", "prompt_cache_key")
_SOMEBODY = 10_000
# What names a conversation, by kind of pseudonym.
_THREADS = (("conversation", "conversation"), ("response", "previous_response_id"))


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
    """Return the pseudonym of who asked: ``who`` of :func:`who_asked`, and the user in the request."""
    return pseudonyms.of("origin", who, identity_of(request)[0])


def identity_of(request: JsonObject) -> tuple[str, str]:
    """Return the user and the session that a request in chat form names in its fields, "" for none.

    The user is ``user``, ``safety_identifier`` or Anthropic's ``metadata.user_id``; that may hold a session
    beside the user, as ``..._session_<id>`` or as JSON with a ``session_id`` (coding agents do both).
    """
    metadata = request.get("metadata")
    named = metadata.get("user_id") if isinstance(metadata, dict) else None
    user, session = _taken_apart(named) if isinstance(named, str) else ("", "")
    return str(request.get("user") or request.get("safety_identifier") or user), session


def _taken_apart(user_id: str) -> tuple[str, str]:
    if user_id.startswith("{"):
        fields = decode(user_id.encode("utf-8", "surrogatepass"))
        if isinstance(fields, dict):
            session = str(fields.pop("session_id", None) or "")
            return encode_text(fields) if fields else "", session
    user, _, session = user_id.partition("_session_")
    return user, session


def rename(pseudonyms: Pseudonyms, body: JsonObject) -> JsonObject:
    """Return a request or response in chat form with pseudonyms where callers put identities.

    These are ``user``, ``safety_identifier``, ``prompt_cache_key``, every text in ``metadata``, the ``name``
    of user messages, and the Responses API's ``conversation`` and ``previous_response_id``.
    """
    renamed = dict(body)
    for name in _NAMED:
        if body.get(name):
            renamed[name] = pseudonyms.of("user", _spelt(body[name]))
    for kind, name in _THREADS:
        named = body.get(name)
        if isinstance(named, dict) and isinstance(named.get("id"), str):
            renamed[name] = {"id": pseudonyms.of(kind, named["id"])}
        elif named:
            renamed[name] = pseudonyms.of(kind, _spelt(named))
    if isinstance(body.get("metadata"), dict):
        renamed["metadata"] = {key: _rename(pseudonyms, value) for key, value in body["metadata"].items()}
    if isinstance(body.get("messages"), list):
        renamed["messages"] = [_speaker(pseudonyms, message) for message in body["messages"]]
    return renamed


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _rename(pseudonyms: Pseudonyms, value: Any) -> Any:
    # A small number is a count or a version; a large one may be somebody's.
    if isinstance(value, str | dict | list) or (isinstance(value, int) and abs(value) >= _SOMEBODY):
        return pseudonyms.of("user", _spelt(value))
    return value


def _speaker(pseudonyms: Pseudonyms, message: Any) -> Any:
    if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("name"), str):
        return message | {"name": pseudonyms.of("user", message["name"])}
    return message
