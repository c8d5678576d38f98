"""Answers of the fidelity table: rich in the fields that gateways lose."""

from __future__ import annotations

from typing import Any

from bench.gateway.answers import (
    LAST_CHUNK,
    Fields,
    chunk,
    dump,
    event,
    head,
    whole,
)

HEADERS: Fields = (
    (b"x-request-id", b"req_special_1"),
    (b"retry-after", b"7"),
    (b"retry-after-ms", b"7250"),
    (b"x-ratelimit-remaining-requests", b"41"),
    (b"x-ratelimit-remaining-tokens", b"149984"),
    (b"x-ratelimit-reset-tokens", b"6m0s"),
    (b"openai-processing-ms", b"211"),
    (b"x-unknown-to-all", b"kept?"),
)

_LOGPROBS = {
    "content": [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}],
    "refusal": None,
}
_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 16, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5, "accepted_prediction_tokens": 1},
}
TOOL_CALL = {
    "id": "call_whole_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Bern","days":3}'},
}


def unary() -> dict[str, Any]:
    """Return the chat completion whose fields are looked for."""
    message = {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "The user greets.",
        "refusal": None,
        "x_message": {"kept": True},
    }
    choice = {"index": 0, "message": message, "logprobs": _LOGPROBS, "finish_reason": "stop", "x_choice": 1}
    frame = {"id": "chatcmpl-special", "object": "chat.completion", "created": 1_790_000_000}
    return {
        **frame,
        "model": "gpt-4o-mini",
        "choices": [choice],
        "usage": _USAGE,
        "system_fingerprint": "fp_special",
        "service_tier": "flex",
        "x_top": [1, 2],
    }


def stream() -> list[dict[str, Any]]:
    """Return the events of a stream with reasoning, an unknown key and a whole tool call in one delta."""
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": None}, None),
        ({"reasoning_content": "Look it up."}, None),
        ({"content": "One moment.", "x_delta": "kept"}, None),
        ({"tool_calls": [{"index": 0, **TOOL_CALL}]}, None),
        ({}, "tool_calls"),
    ]
    events = [
        {**_frame(), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    return [*events, {**_frame(), "choices": [], "usage": _USAGE}]


def error(status: int) -> bytes:
    """Return an error body as OpenAI words it, with white space that no serialiser would choose."""
    kinds = {400: "invalid_request_error", 429: "rate_limit_exceeded", 500: "server_error"}
    payload = dump({"message": f"Bench error {status}", "type": kinds[status], "param": None, "code": None})
    return b'{\n  "error":  %s\n}\n' % payload


def stream_body() -> bytes:
    """Return the bytes of the stream."""
    return b"".join([*(event(one) for one in stream()), event("[DONE]")])


def replies() -> dict[str, bytes]:
    """Return the complete responses by the name of their mode."""
    streamed = head(200, b"text/event-stream", None, HEADERS)
    streamed += b"".join(chunk(event(one)) for one in stream()) + chunk(event("[DONE]")) + LAST_CHUNK
    errors = {f"error-{status}": whole(status, error(status), HEADERS) for status in (400, 429, 500)}
    return {"special": whole(200, dump(unary()), HEADERS), "special-stream": streamed, **errors}


def _frame() -> dict[str, Any]:
    return {
        "id": "chatcmpl-special",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "gpt-4o-mini",
        "system_fingerprint": "fp_special",
    }
