"""Sessions without tags: which calls belong to the same agent run."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Generic, TypeVar

from offramp.core.call import text_of
from offramp.record.pseudonym import identity_of

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.record.pseudonym import Pseudonyms

IDLE_S = 1800.0
"""Seconds of silence that end a session."""

_FIELDS = ("session_id", "sessionId", "thread_id", "conversation_id")
_OPEN = 65_536
_TIMES = struct.Struct("<dd")

V = TypeVar("V")


class _Recent(Generic[V]):
    """What was met last, by the hash of its name.

    Two generations, so that nothing has to be kept in order: a recorder meets a hundred thousand
    conversations, and an ordered dictionary of names and objects took 350 bytes for each.

    Args:
        most: Entries kept; half of them at least are the last ones met.
    """

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._new: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}

    def get(self, name: str) -> V | None:
        """Return what was put under a name, None where it is forgotten."""
        key = _hash(name)
        kept = self._new.get(key)
        return self._old.get(key) if kept is None else kept

    def put(self, name: str, value: V) -> None:
        """Keep a value in place of the one before it."""
        key = _hash(name)
        if key not in self._new and len(self._new) >= self._half:
            self._old, self._new = self._new, {}
        self._new[key] = value


class SessionTracker:
    """Assigns every call a session, from what the traffic carries anyway.

    In order: a session id the client sends (a header, a field of ``metadata``, the Responses API's
    ``conversation``); the session of the response that is continued (``previous_response_id``); origin and
    ``user``, split where half an hour passes without a call; without ``user``, the conversation within the
    origin (system prompt and first user message), split in the same way.

    Args:
        pseudonyms: Make session ids.
        idle_s: Seconds of silence that end a session.
        most_open: Sessions remembered, and responses; those idle for longest are forgotten first.
    """

    def __init__(self, pseudonyms: Pseudonyms, *, idle_s: float = IDLE_S, most_open: int = _OPEN) -> None:
        self._pseudonyms = pseudonyms
        self._idle_s = idle_s
        # When each began, and its last call: the id is made of the beginning.
        self._open: _Recent[bytes] = _Recent(most_open)
        self._responses: _Recent[str] = _Recent(most_open)

    def session(self, origin: str, run: str, request: JsonObject, at: float) -> str:
        """Return the session of a call that ``origin`` made at ``at`` (seconds since the epoch).

        ``run`` is the session that the client named outside the body (or its pseudonym), "" for none; the
        request is in chat form.

        Calls may come somewhat out of order: they are handed over when they end.
        """
        user, in_user = identity_of(request)
        explicit = run or _named(request) or in_user
        if explicit:
            return self._pseudonyms.of("session", origin, explicit)
        continued = request.get("previous_response_id")
        if isinstance(continued, str) and continued:
            return self._continued(origin, continued)
        thread = origin if user else f"{origin} {_root(request)}"
        known = self._open.get(thread)
        began, last = (at, at) if known is None else _TIMES.unpack(known)
        if abs(at - last) > self._idle_s:
            began = last = at
        self._open.put(thread, _TIMES.pack(began, max(last, at)))
        return self._pseudonyms.of("session", thread, repr(began))

    def answered(self, origin: str, response: str, session: str) -> None:
        """Remember the session of a response that a later call may continue."""
        self._responses.put(self._pseudonyms.of("response", origin, response), session)

    def _continued(self, origin: str, response: str) -> str:
        # One from before the recorder started is a session of its own.
        known = self._responses.get(self._pseudonyms.of("response", origin, response))
        return known or self._pseudonyms.of("session", origin, response)


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _named(request: JsonObject) -> str:
    metadata, conversation = request.get("metadata"), request.get("conversation")
    if isinstance(metadata, dict):
        for name in _FIELDS:
            if isinstance(metadata.get(name), str) and metadata[name]:
                return str(metadata[name])
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    return conversation if isinstance(conversation, str) else ""


def _root(request: JsonObject) -> str:
    """Hash what a conversation keeps for as long as it lasts."""
    messages = request.get("messages")
    first: dict[str, str] = {}
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        role = "system" if message.get("role") == "developer" else str(message.get("role"))
        first.setdefault(role, text_of(message.get("content")))
        if role == "user":
            break
    root = f"{first.get('system', '')}\0{first.get('user', '')}"
    return _hash(root).hex()
