"""From the bytes of an exchange to a call: folded, redacted, pseudonymised."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from offramp.core.call import Call, Usage, text_of
from offramp.core.json import JsonObject, canonical
from offramp.record.fold import fold
from offramp.record.pseudonym import Pseudonyms, origin_of, rename
from offramp.record.session import SessionTracker

if TYPE_CHECKING:
    from offramp.record.exchange import Exchange

_CHARS_PER_TOKEN = 4
_LARGEST = 64 * 1024 * 1024
CLOSED_EARLY = 499
"""Status of a call whose client or teacher broke off, as nginx writes it."""


class Redaction(Protocol):
    """What redacting gives."""

    @property
    def value(self) -> Any:
        """The value without personal data, of the same shape."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Replacements by rule."""
        ...


Redact = Callable[[JsonObject], Redaction]
"""Replaces personal data and secrets in a JSON value, the same value always by the same surrogate."""


class Parser:
    """Makes calls of exchanges; nothing of a call leaves it unredacted.

    Args:
        redact: Takes personal data and secrets out.
        key: Secret behind the pseudonyms of origins and sessions, at least 16 bytes.
        idle_s: Seconds of silence that end a session.
    """

    def __init__(self, redact: Redact, key: bytes, *, idle_s: float = 1800.0) -> None:
        self._redact = redact
        self._pseudonyms = Pseudonyms(key)
        self._sessions = SessionTracker(self._pseudonyms, idle_s=idle_s)

    def parse(self, exchange: Exchange) -> Call:
        """Return the call; never raises for what the bytes hold."""
        request = _object(exchange.request) or {}
        response, complete = _response(exchange)
        origin = origin_of(self._pseudonyms, exchange.who, request)
        session = self._sessions.session(origin, exchange.run, request, exchange.started_at)
        # Together, so that what only the request gives away is found in the response too.
        redacted = self._redact(
            {"request": rename(self._pseudonyms, request), "response": response, "meta": dict(exchange.meta)}
        )
        return Call(
            id=exchange.id,
            at=exchange.started_at,
            session=session,
            origin=origin,
            request=redacted.value["request"],
            response=redacted.value["response"],
            status=exchange.status if complete or exchange.status >= 400 else CLOSED_EARLY,
            stream=exchange.stream,
            latency_s=exchange.latency_s,
            usage=_usage(redacted.value["request"], redacted.value["response"]),
            route=exchange.route,
            meta=redacted.value["meta"] | ({"redacted": dict(redacted.counts)} if redacted.counts else {}),
            dialect=exchange.dialect,
            trainable=exchange.trainable,
        )


def _response(exchange: Exchange) -> tuple[JsonObject, bool]:
    """Return the response body and whether the whole of it came."""
    raw = _decoded(exchange.response, exchange.content_encoding)
    if raw is not None and _is_stream(exchange, raw):
        folded = fold(raw)
        return _without_logprobs(folded.body), folded.complete and exchange.complete
    body = None if raw is None else _object(raw)
    if body is None:
        error = {"type": "unreadable", "content_type": exchange.content_type, "bytes": len(exchange.response)}
        return {"error": error}, exchange.complete
    return _without_logprobs(body), exchange.complete


def _is_stream(exchange: Exchange, raw: bytes) -> bool:
    """Whether the body is an event stream, whatever its content type says."""
    declared = exchange.content_type.lower().startswith("text/event-stream")
    return declared or (exchange.stream and raw.lstrip().startswith((b"data:", b"event:", b":")))


def _decoded(raw: bytes, encoding: str) -> bytes | None:
    """Undo the content encoding; None where it is none we know, or the bytes are broken."""
    if encoding.lower() in ("", "identity"):
        return raw
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return None
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(raw, _LARGEST)
    except zlib.error:
        return None


def _object(raw: bytes) -> JsonObject | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without_logprobs(body: JsonObject) -> JsonObject:
    """Leave the log-probabilities out: they spell the answer token by token, past every rule."""
    choices = body.get("choices")
    if not isinstance(choices, list):
        return body
    kept = [{k: v for k, v in c.items() if k != "logprobs"} if isinstance(c, dict) else c for c in choices]
    return body | {"choices": kept}


def _usage(request: JsonObject, response: JsonObject) -> Usage:
    """Read the provider's count, or take a token for four characters."""
    counted = response.get("usage")
    if isinstance(counted, dict):
        prompt, completion = counted.get("prompt_tokens"), counted.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int):
            return Usage(max(prompt, 0), max(completion, 0))
    return Usage(_tokens(_prompt_text(request)), _tokens(_answer_text(response)))


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _prompt_text(request: JsonObject) -> str:
    messages = request.get("messages")
    texts = [_message_text(message) for message in messages] if isinstance(messages, list) else []
    tools = request.get("tools") or request.get("functions")
    return "".join(texts) + (canonical(tools) if tools else "")


def _answer_text(response: JsonObject) -> str:
    choices = response.get("choices") or response.get("partial")
    if not isinstance(choices, list):
        return ""
    return "".join(_message_text(choice.get("message")) for choice in choices if isinstance(choice, dict))


def _message_text(message: object) -> str:
    if not isinstance(message, dict):
        return ""
    calls = message.get("tool_calls") or message.get("function_call")
    return text_of(message.get("content")) + (canonical(calls) if calls else "")
