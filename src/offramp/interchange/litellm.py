"""LiteLLM: its standard logging payload, and the rows of its spend logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Call
from offramp.interchange.values import (
    checked,
    completion,
    conversation_of,
    decoded,
    message_of,
    messages_in,
    seconds,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_CALLS = frozenset({"", "completion", "acompletion", "aresponses", "responses", "anthropic_messages"})


class LiteLLM:
    """One call a row; calls that are no chats (embeddings, images) are passed over."""

    name = "litellm"
    title = "LiteLLM standard logging payload, or spend logs with messages and response"

    def recognises(self, row: JsonObject) -> bool:
        """See :class:`offramp.interchange.port.Format`."""
        return "call_type" in row and ("messages" in row or "proxy_server_request" in row)

    def read(self, row: JsonObject, number: int) -> Iterator[Call]:
        """See :class:`offramp.interchange.port.Format`."""
        if str(row.get("call_type") or "") not in _CALLS:
            return
        start, end = seconds(row.get("startTime")), seconds(row.get("endTime"))
        request, response = _request(row), _response(row)
        failed = row.get("status") == "failure" or "error" in response
        status = _code(row) if failed else 200
        yield Call(
            id=str(row.get("id") or row.get("request_id") or ""),
            at=float(number) if start is None else start,
            session=str(row.get("session_id") or row.get("trace_id") or ""),
            origin=str(row.get("end_user") or row.get("user") or ""),
            request=request,
            response=response,
            status=status,
            stream=bool(row.get("stream") or request.get("stream", False)),
            latency_s=max(0.0, end - start) if start is not None and end is not None else 0.0,
            usage=usage_of(row.get("prompt_tokens"), row.get("completion_tokens"), request, response),
            trainable=bool((row.get("metadata") or {}).get("trainable", True)),
        )

    def write(self, call: Call) -> JsonObject:
        """See :class:`offramp.interchange.port.Format`."""
        failed, messages = call.status >= 400, conversation_of(call)
        if "error" not in call.response and message_of(call.response) is None:
            raise ValueError("the call has neither a completion nor an error")
        parameters = {k: v for k, v in call.request.items() if k not in ("messages", "model")}
        return {
            "id": call.id,
            "trace_id": call.session,
            "call_type": "acompletion",
            "status": "failure" if failed else "success",
            "error_code": str(call.status) if failed else None,
            "startTime": call.at,
            "endTime": call.at + call.latency_s,
            "model": call.request.get("model"),
            "model_parameters": parameters,
            "messages": messages,
            "response": call.response,
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "total_tokens": call.usage.total,
            "end_user": call.origin,
            "stream": call.stream,
            "metadata": {"trainable": call.trainable},
        }


def _request(row: JsonObject) -> JsonObject:
    sent = decoded(row.get("proxy_server_request"))
    messages = decoded(row.get("messages"))
    if not messages and isinstance(sent, dict) and "messages" in sent:
        messages_in(sent["messages"], "proxy_server_request.messages")
        return sent
    messages_in(messages, "messages")
    parameters = decoded(row.get("model_parameters")) or {}
    return {"model": row.get("model") or "", **parameters, "messages": messages}


def _response(row: JsonObject) -> JsonObject:
    response = decoded(row.get("response"))
    if isinstance(response, dict) and "error" in response:
        return response
    if isinstance(response, dict) and "choices" in response:
        return checked(response)
    if isinstance(response, str) and row.get("status") != "failure":
        return completion({"role": "assistant", "content": response})
    if row.get("status") == "failure" or "error_str" in row:
        return {"error": {"message": str(row.get("error_str") or ""), "type": "unknown"}}
    raise TypeError("response has to be a completion")


def _code(row: JsonObject) -> int:
    told = row.get("error_code") or (row.get("error_information") or {}).get("error_code")
    return int(str(told)) if str(told or "").isdigit() else 500
