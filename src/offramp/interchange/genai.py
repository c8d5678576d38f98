"""OpenTelemetry spans of model calls, by the GenAI semantic conventions (semantic-conventions-genai 0.1)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from offramp.core.call import Call, Dialect
from offramp.interchange import parts
from offramp.interchange.values import (
    completion,
    conversation_of,
    decoded,
    finish_of,
    message_of,
    seconds,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

OPERATION = "gen_ai.operation.name"
_OPERATIONS = {
    Dialect.CHAT: "chat",
    Dialect.RESPONSES: "chat",
    Dialect.MESSAGES: "chat",
    Dialect.COMPLETIONS: "text_completion",
    Dialect.EMBEDDINGS: "embeddings",
}
_READ = ("chat", "text_completion", "generate_content")
# Attribute by request field, both ways.
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
_MORE = "offramp.request.more"
_ELSEWHERE = frozenset({"model", "messages", "tools", "stop", "stream", *_PARAMETERS})


class GenAI:
    """OTLP/JSON (``resourceSpans``), or one span a row with its attributes as an object or a list."""

    name = "otel"
    title = "OpenTelemetry GenAI spans, OTLP/JSON"

    def recognises(self, row: JsonObject) -> bool:
        """See :class:`offramp.interchange.port.Format`."""
        return "resourceSpans" in row or "attributes" in row

    def read(self, row: JsonObject, number: int) -> Iterator[Call]:
        """See :class:`offramp.interchange.port.Format`."""
        for span in _spans(row):
            attributes = _attributes(span.get("attributes"))
            if attributes.get(OPERATION) in _READ and "gen_ai.input.messages" in attributes:
                yield _call(span, attributes, number)

    def write(self, call: Call) -> JsonObject:
        """See :class:`offramp.interchange.port.Format`."""
        scope = {"scope": {"name": "offramp"}, "spans": [span_of(call, content=True)]}
        resource = {"attributes": [_pair("service.name", "offramp")]}
        return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def span_of(call: Call, *, content: bool) -> JsonObject:
    """Build the OTLP/JSON span of a call.

    Args:
        call: The call.
        content: Whether messages and tools go in; without them the span holds no text of the call.

    Raises:
        ValueError: The call has no messages that could go in.
    """
    model = str(call.request.get("model", ""))
    name = f"{_OPERATIONS[call.dialect]} {model}".strip()
    # Ids are hashes, so that exporting twice gives the same spans.
    trace = hashlib.sha256(f"trace {call.session or call.id}".encode()).hexdigest()[:32]
    span = hashlib.sha256(f"span {call.id}".encode()).hexdigest()[:16]
    attributes = _written(call) | (_content(call) if content else {})
    failed = call.status >= 400
    return {
        "traceId": trace,
        "spanId": span,
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(round(call.at * 1e6) * 1000),
        "endTimeUnixNano": str(round((call.at + call.latency_s) * 1e6) * 1000),
        "attributes": [_pair(key, value) for key, value in attributes.items() if value is not None],
        "status": {"code": 2 if failed else 0},
    }


def _written(call: Call) -> JsonObject:
    response = call.response
    reason = finish_of(response)
    return {
        OPERATION: _OPERATIONS[call.dialect],
        "gen_ai.provider.name": "anthropic" if call.dialect is Dialect.MESSAGES else "openai",
        "gen_ai.request.model": call.request.get("model"),
        **{attribute: call.request.get(field) for field, attribute in _PARAMETERS.items()},
        "gen_ai.request.stop_sequences": _stops(call.request.get("stop")),
        "gen_ai.request.stream": call.stream,
        "gen_ai.conversation.id": call.session or None,
        "gen_ai.response.id": response.get("id"),
        "gen_ai.response.model": response.get("model"),
        "gen_ai.response.finish_reasons": [reason] if reason else None,
        "gen_ai.usage.input_tokens": call.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": call.usage.completion_tokens,
        "error.type": str(call.status) if call.status >= 400 else None,
        "offramp.call.id": call.id,
        "offramp.origin": call.origin or None,
        "offramp.route": call.route,
        "offramp.dialect": call.dialect.value,
        "offramp.trainable": call.trainable,
        "http.response.status_code": call.status,
    }


def _content(call: Call) -> JsonObject:
    message = message_of(call.response)
    more = {key: value for key, value in call.request.items() if key not in _ELSEWHERE}
    answer = None if message is None else [parts.output_of(message, finish_of(call.response))]
    return {
        "gen_ai.input.messages": _text([parts.input_of(m) for m in conversation_of(call)]),
        "gen_ai.output.messages": None if answer is None else _text(answer),
        "gen_ai.tool.definitions": _text(call.request["tools"]) if "tools" in call.request else None,
        _MORE: _text(more) if more else None,
    }


def _call(span: JsonObject, attributes: JsonObject, number: int) -> Call:
    start = seconds(span.get("startTimeUnixNano", span.get("start_time")))
    end = seconds(span.get("endTimeUnixNano", span.get("end_time")))
    request, response = _request(attributes), _response(attributes)
    status = attributes.get("http.response.status_code")
    if not isinstance(status, int):
        status = 500 if "error.type" in attributes else 200
    return Call(
        id=str(attributes.get("offramp.call.id") or ""),
        at=float(number) if start is None else start,
        session=str(attributes.get("gen_ai.conversation.id") or span.get("traceId") or ""),
        origin=str(attributes.get("offramp.origin") or attributes.get("user.id") or ""),
        request=request,
        response=response,
        status=status,
        stream=bool(attributes.get("gen_ai.request.stream", False)),
        latency_s=max(0.0, end - start) if start is not None and end is not None else 0.0,
        usage=usage_of(
            attributes.get("gen_ai.usage.input_tokens"),
            attributes.get("gen_ai.usage.output_tokens"),
            request,
            response,
        ),
        route=str(attributes.get("offramp.route") or "teacher"),
        dialect=Dialect(attributes.get("offramp.dialect") or Dialect.CHAT),
        trainable=bool(attributes.get("offramp.trainable", True)),
    )


def _request(attributes: JsonObject) -> JsonObject:
    request: JsonObject = {"model": attributes.get("gen_ai.request.model", "")}
    for field, attribute in _PARAMETERS.items():
        if attribute in attributes:
            request[field] = attributes[attribute]
    if stops := attributes.get("gen_ai.request.stop_sequences"):
        request["stop"] = stops
    if tools := decoded(attributes.get("gen_ai.tool.definitions")):
        request["tools"] = [parts.tool_from(tool) for tool in tools]
    if attributes.get("gen_ai.request.stream"):
        request["stream"] = True
    more = decoded(attributes.get(_MORE))
    instructions = parts.system_from(decoded(attributes.get("gen_ai.system_instructions")))
    messages = [m for item in _list(attributes, "gen_ai.input.messages") for m in parts.messages_from(item)]
    return {**(more or {}), **request, "messages": [*instructions, *messages]}


def _response(attributes: JsonObject) -> JsonObject:
    if "gen_ai.output.messages" not in attributes:
        return {"error": {"type": str(attributes.get("error.type", "unknown"))}}
    first = _list(attributes, "gen_ai.output.messages")[0]
    (message,) = parts.messages_from(first)
    reasons = attributes.get("gen_ai.response.finish_reasons") or [first.get("finish_reason")]
    finish = parts.finish_from(reasons[0])
    fields = {"id": attributes.get("gen_ai.response.id"), "model": attributes.get("gen_ai.response.model")}
    return completion(message, finish=finish, **fields)


def _list(attributes: JsonObject, name: str) -> list[Any]:
    value = decoded(attributes[name])
    if not isinstance(value, list) or not value:
        raise TypeError(f"{name} has to be a list of messages")
    return value


def _stops(stop: object) -> list[str] | None:
    if isinstance(stop, str):
        return [stop]
    return stop if isinstance(stop, list) else None


def _spans(row: JsonObject) -> Iterator[JsonObject]:
    if "resourceSpans" not in row:
        yield row
        return
    for resource in row["resourceSpans"]:
        for scope in resource.get("scopeSpans") or []:
            yield from scope.get("spans") or []


def _attributes(value: object) -> JsonObject:
    if isinstance(value, dict):
        return value
    return {item["key"]: _plain(item.get("value")) for item in value} if isinstance(value, list) else {}


def _plain(value: Any) -> Any:
    """Read OTLP's ``AnyValue``; 64-bit integers travel as text."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [_plain(item) for item in inner.get("values") or []]
    if kind == "kvlistValue":
        return _attributes(inner.get("values"))
    return inner


def _pair(key: str, value: Any) -> JsonObject:
    return {"key": key, "value": _any_value(value)}


def _any_value(value: Any) -> JsonObject:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"stringValue": value if isinstance(value, str) else _text(value)}


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
