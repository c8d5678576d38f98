"""Langfuse observations: the rows of its exports and of its observations API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.core.call import Call
from offramp.interchange.values import (
    completion,
    conversation_of,
    decoded,
    finish_of,
    iso,
    message_of,
    messages_in,
    seconds,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_BODY = ("tools", "tool_choice", "functions", "response_format")
_COUNTS = (("usageDetails", "input", "output"), ("usage", "input", "output"))


class Langfuse:
    """One generation a row, or a downloaded trace with its ``observations``."""

    name = "langfuse"
    title = "Langfuse generations: table export, trace download, observations API"

    def recognises(self, row: JsonObject) -> bool:
        """See :class:`offramp.interchange.port.Format`."""
        return "observations" in row or ("type" in row and "input" in row and "output" in row)

    def read(self, row: JsonObject, number: int) -> Iterator[Call]:
        """See :class:`offramp.interchange.port.Format`."""
        trace = row.get("trace") or row if "observations" in row else {}
        for observation in row.get("observations") or [row]:
            if str(observation.get("type", "")).upper() == "GENERATION" and observation.get("input"):
                yield _call(observation, trace, number)

    def write(self, call: Call) -> JsonObject:
        """See :class:`offramp.interchange.port.Format`."""
        failed = call.status >= 400
        body = {key: call.request[key] for key in _BODY if key in call.request}
        messages = conversation_of(call)
        parameters = {
            key: value for key, value in call.request.items() if key not in (*_BODY, "messages", "model")
        }
        return {
            "id": call.id,
            "traceId": call.session,
            "sessionId": call.session,
            "userId": call.origin,
            "type": "GENERATION",
            "name": "offramp",
            "startTime": iso(call.at),
            "endTime": iso(call.at + call.latency_s),
            "model": call.request.get("model"),
            "modelParameters": parameters,
            "input": {"messages": messages, **body} if body else messages,
            "output": call.response if failed else message_of(call.response),
            "usageDetails": {
                "input": call.usage.prompt_tokens,
                "output": call.usage.completion_tokens,
                "total": call.usage.total,
            },
            "level": "ERROR" if failed else "DEFAULT",
            "metadata": {
                "finish_reason": finish_of(call.response),
                "status": call.status,
                "route": call.route,
                "trainable": call.trainable,
            },
        }


def _call(row: JsonObject, trace: JsonObject, number: int) -> Call:
    start, end = seconds(row.get("startTime")), seconds(row.get("endTime"))
    metadata = decoded(row.get("metadata"))
    facts: JsonObject = metadata if isinstance(metadata, dict) else {}
    request = _request(row)
    status = facts.get("status")
    if not isinstance(status, int):
        status = 500 if row.get("level") == "ERROR" else 200
    response = _response(row, facts, failed=status >= 400)
    prompt, answer = _counts(row)
    return Call(
        id=str(row.get("id") or ""),
        at=float(number) if start is None else start,
        session=str(row.get("sessionId") or trace.get("sessionId") or row.get("traceId") or ""),
        origin=str(row.get("userId") or trace.get("userId") or ""),
        request=request,
        response=response,
        status=status,
        stream=bool(request.get("stream", False)),
        latency_s=max(0.0, end - start) if start is not None and end is not None else 0.0,
        usage=usage_of(prompt, answer, request, response),
        route=str(facts.get("route") or "teacher"),
        trainable=bool(facts.get("trainable", True)),
    )


def _request(row: JsonObject) -> JsonObject:
    given = decoded(row["input"])
    parameters = decoded(row.get("modelParameters")) or {}
    body: JsonObject
    if isinstance(given, str):
        body = {"messages": [{"role": "user", "content": given}]}
    else:
        body = given if isinstance(given, dict) and "messages" in given else {"messages": given}
    messages_in(body["messages"], "input")
    return {"model": row.get("model") or row.get("providedModelName") or "", **parameters, **body}


def _response(row: JsonObject, facts: JsonObject, *, failed: bool) -> JsonObject:
    output = decoded(row.get("output"))
    if failed:
        error = {"message": str(row.get("statusMessage") or ""), "type": "unknown"}
        return output if isinstance(output, dict) else {"error": error}
    if isinstance(output, dict) and "choices" in output:
        return output
    message: Any = output[0] if isinstance(output, list) and output else output
    if not isinstance(message, dict):
        message = {"role": "assistant", "content": "" if message is None else str(message)}
    return completion({"role": "assistant", **message}, finish=facts.get("finish_reason"))


def _counts(row: JsonObject) -> tuple[object, object]:
    for name, prompt, answer in _COUNTS:
        counted = decoded(row.get(name))
        if isinstance(counted, dict) and counted.get(prompt):
            return counted[prompt], counted.get(answer)
    return row.get("promptTokens"), row.get("completionTokens")
