"""What the upstream of the bench answers, as bytes made once."""

from __future__ import annotations

import json
from typing import Any

EVENTS = 67
"""Events of a streamed answer, ``[DONE]`` included."""

TOKENS = EVENTS - 4
"""Events of a streamed answer that bring text; the others are role, end, usage and ``[DONE]``."""

TOKEN_MARK = b"tkn"
"""In the text of every such event once, and nowhere else."""

TEXT = (
    "Your order was found and is on its way. The carrier expects to deliver it on Friday between nine and "
    "twelve; the warehouse has confirmed the address that you gave. If you would rather send it back, a "
    "return label can be printed from your account within thirty days, and the amount is refunded to the "
    "card that you paid with as soon as the parcel is scanned. Is there anything else that you would like to "
    "know about this order, or shall I close the case for now? I have noted that nobody was at home at the "
    "last attempt, so the driver will ring the neighbour on the second floor as you asked."
)

_COMMON: dict[str, Any] = {"created": 1_790_000_000, "model": "gpt-4o-mini-2024-07-18"}
_USAGE = {
    "prompt_tokens": 512,
    "completion_tokens": 63,
    "total_tokens": 575,
    "prompt_tokens_details": {"cached_tokens": 384, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 0},
}
_LIMITS = (
    (b"x-request-id", b"req_7d2f0bench"),
    (b"openai-processing-ms", b"211"),
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-reset-requests", b"6ms"),
)

Fields = tuple[tuple[bytes, bytes], ...]


def head(status: int, content_type: bytes, length: int | None, extra: Fields = _LIMITS) -> bytes:
    """Return a response's head; chunked where the length is None."""
    framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
    lines = [b"HTTP/1.1 %d Bench" % status, b"content-type: " + content_type, framing]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in extra)]) + b"\r\n\r\n"


def whole(status: int, body: bytes, extra: Fields = _LIMITS) -> bytes:
    """Return a complete JSON response."""
    return head(status, b"application/json", len(body), extra) + body


def stream_head() -> bytes:
    """Return the head of a streamed response."""
    return head(200, b"text/event-stream; charset=utf-8", None)


def chunk(data: bytes) -> bytes:
    """Frame a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def event(payload: Any, name: str = "") -> bytes:
    """Return one server-sent event."""
    kind = f"event: {name}\n" if name else ""
    return f"{kind}data: {payload if isinstance(payload, str) else dump(payload).decode()}\n\n".encode()


def dump(payload: Any) -> bytes:
    """Serialise compactly."""
    return json.dumps(payload, separators=(",", ":")).encode()


def chat() -> bytes:
    """Return a chat completion, about 1.1 KB."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    return dump(
        {
            "id": "chatcmpl-bench0001",
            "object": "chat.completion",
            **_COMMON,
            "choices": [choice],
            "usage": _USAGE,
            "system_fingerprint": "fp_bench",
        }
    )


def chat_events() -> list[bytes]:
    """Return the events of a streamed chat completion, about 250 bytes each."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f" {TOKEN_MARK.decode()}{number:02d}"} for number in range(TOKENS)]
    events = [event(_piece(delta, None)) for delta in deltas]
    events.append(event(_piece({}, "stop")))
    events.append(event({**_frame(), "choices": [], "usage": _USAGE}))
    return [*events, event("[DONE]")]


def _piece(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {**_frame(), "choices": [choice], "usage": None}


def _frame() -> dict[str, Any]:
    return {
        "id": "chatcmpl-bench0001",
        "object": "chat.completion.chunk",
        **_COMMON,
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    }


def messages() -> bytes:
    """Return an Anthropic message."""
    usage = {"input_tokens": 512, "output_tokens": 63, "cache_read_input_tokens": 384}
    content = [{"type": "text", "text": TEXT}]
    frame = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "claude-bench"}
    return dump(
        {**frame, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    )


def responses() -> bytes:
    """Return an answer of the Responses API."""
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    item = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    usage = {"input_tokens": 512, "output_tokens": 63, "total_tokens": 575}
    frame = {"id": "resp_bench", "object": "response", "created_at": 1_790_000_000, "status": "completed"}
    return dump({**frame, "model": "gpt-4o-mini", "output": [item], "usage": usage})


def embeddings() -> bytes:
    """Return an embedding."""
    vector = [round(0.001 * number, 6) for number in range(32)]
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return dump({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage})
