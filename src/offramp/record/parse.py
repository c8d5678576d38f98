"""From the bytes of an exchange to a call: folded, redacted, pseudonymised, in chat form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from offramp.core.call import Call, Dialect, Usage, text_of
from offramp.core.json import JsonObject
from offramp.dialect import form_of
from offramp.dialect.codec import decode, encode_text
from offramp.record.inflate import inflated
from offramp.record.pseudonym import Pseudonyms, origin_of, rename
from offramp.record.session import SessionTracker
from offramp.record.told import put_back, taken

if TYPE_CHECKING:
    from offramp.dialect import Form
    from offramp.record.exchange import Exchange

_CHARS_PER_TOKEN = 4
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
        try:
            form = form_of(exchange.dialect)
            request = form.to_chat(_object(exchange.request) or {})
            response, complete = _response(exchange, form)
            return self._call(exchange, request, response, complete=complete)
        except RecursionError:
            # Nested deeper than it can be read through: nothing of it is kept.
            return self._call(exchange, {}, _unreadable(exchange), complete=exchange.complete)

    def _call(self, exchange: Exchange, request: JsonObject, response: JsonObject, *, complete: bool) -> Call:
        response, told = taken(response)
        raw = {"request": rename(self._pseudonyms, request), "response": self._renamed(exchange, response)}
        origin = origin_of(self._pseudonyms, exchange.who, request)
        session = self._session(origin, exchange, request, response)
        # Together, so that what only the request gives away is found in the response too.
        redacted = self._redact(
            {
                **raw,
                # Beside the origin, in which a user is mixed with who asked: erasure looks for either.
                "meta": dict(exchange.meta) | ({"who": exchange.who} if exchange.who else {}),
            }
        )
        masked = redacted.value
        return Call(
            id=exchange.id,
            at=exchange.started_at,
            session=session,
            origin=origin,
            request=masked["request"],
            response=put_back(told, raw, masked, self._redact),
            status=exchange.status if complete or exchange.status >= 400 else CLOSED_EARLY,
            stream=exchange.stream,
            latency_s=exchange.latency_s,
            usage=_usage(masked["request"], masked["response"]),
            route=exchange.route,
            meta=masked["meta"] | ({"redacted": dict(redacted.counts)} if redacted.counts else {}),
            dialect=exchange.dialect,
            trainable=exchange.trainable,
        )

    def _session(self, origin: str, exchange: Exchange, request: JsonObject, response: JsonObject) -> str:
        session = self._sessions.session(origin, exchange.run, request, exchange.started_at)
        if exchange.dialect is Dialect.RESPONSES and isinstance(response.get("id"), str):
            self._sessions.answered(origin, response["id"], session)
        return session

    def _renamed(self, exchange: Exchange, response: JsonObject) -> JsonObject:
        """Hide what a response repeats of who asked, and the id by which it can be continued."""
        renamed = rename(self._pseudonyms, response)
        if exchange.dialect is Dialect.RESPONSES and isinstance(response.get("id"), str):
            renamed["id"] = self._pseudonyms.of("response", response["id"])
        return renamed


def _response(exchange: Exchange, form: Form) -> tuple[JsonObject, bool]:
    """Return the response body in chat form and whether the whole of it came."""
    raw = inflated(exchange.response, exchange.content_encoding)
    complete = exchange.complete
    if raw is not None and _is_stream(exchange, raw):
        folded = form.fold(raw)
        body: JsonObject | None = folded.body
        complete = complete and folded.complete
    else:
        body = None if raw is None else _object(raw)
    if body is None:
        return _unreadable(exchange), complete
    return form.chat_response(body), complete


def _unreadable(exchange: Exchange) -> JsonObject:
    size = len(exchange.response)
    return {"error": {"type": "unreadable", "content_type": exchange.content_type, "bytes": size}}


def _is_stream(exchange: Exchange, raw: bytes) -> bool:
    """Whether the body is an event stream, whatever its content type says."""
    declared = exchange.content_type.lower().startswith("text/event-stream")
    return declared or (exchange.stream and raw.lstrip().startswith((b"data:", b"event:", b":")))


def _object(raw: bytes) -> JsonObject | None:
    value = decode(raw)
    return value if isinstance(value, dict) else None


def _usage(request: JsonObject, response: JsonObject) -> Usage:
    """Read the provider's count, or take a token for four characters."""
    counted = response.get("usage")
    if isinstance(counted, dict):
        prompt, completion = counted.get("prompt_tokens"), counted.get("completion_tokens", 0)
        if isinstance(prompt, int) and isinstance(completion, int):
            return Usage(max(prompt, 0), max(completion, 0))
    return Usage(_tokens(_prompt_text(request)), _tokens(_answer_text(response)))


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _prompt_text(request: JsonObject) -> str:
    messages = request.get("messages")
    texts = [_message_text(message) for message in messages] if isinstance(messages, list) else []
    tools = request.get("tools") or request.get("functions")
    return "".join(texts) + (encode_text(tools) if tools else "")


def _answer_text(response: JsonObject) -> str:
    choices = response.get("choices") or response.get("partial")
    if not isinstance(choices, list):
        return ""
    return "".join(_message_text(choice.get("message")) for choice in choices if isinstance(choice, dict))


def _message_text(message: object) -> str:
    if not isinstance(message, dict):
        return ""
    calls = message.get("tool_calls") or message.get("function_call")
    return text_of(message.get("content")) + (encode_text(calls) if calls else "")
