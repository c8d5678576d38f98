"""The replay teacher: an OpenAI-compatible server that answers from recorded calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from offramp.core.errors import BadInput
from offramp.upstream.asgi import (
    Receive,
    Scope,
    Send,
    error_payload,
    read_body,
    send_body,
    send_json,
)
from offramp.upstream.completions import encode, events_of, filled_in

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.upstream.port import Headers
    from offramp.upstream.recording import Recording

_JSON: Headers = [(b"content-type", b"application/json")]
_STREAM: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_LARGEST_BODY = 64 << 20


class Replay:
    """Answers each recorded request with its recorded answers in turn, streamed where asked.

    Args:
        recording: The recorded calls.
        latency_s: Seconds to wait before each answer.
    """

    def __init__(self, recording: Recording, *, latency_s: float = 0.0) -> None:
        self._recording = recording
        self._latency_s = latency_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        match scope["method"], scope["path"]:
            case "POST", "/v1/chat/completions":
                await self._answer(receive, send)
            case "GET", "/v1/models":
                await send_json(send, 200, self._models())
            case "GET", "/health":
                await send_json(send, 200, {"status": "ok", "calls": self._recording.calls})
            case method, path:
                message = (
                    f"The replay teacher has no {method} {path}. "
                    "It serves POST /v1/chat/completions, GET /v1/models and GET /health."
                )
                await _refuse(send, 404, message, "not_found")

    async def _answer(self, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive, at_most=_LARGEST_BODY)
            if body is None:
                return
            request = _decoded(body)
            answer = self._recording.next_answer(request)
        except BadInput as error:
            await _refuse(send, 400, str(error), "bad_request")
            return
        await asyncio.sleep(self._latency_s)
        if answer is None:
            await _refuse(send, 404, self._unknown(request), "unknown_request")
            return
        response: JsonObject = orjson.loads(answer.body)
        if "choices" not in response:
            await send_body(send, answer.status, _JSON, answer.body)
            return
        completion = filled_in(response, request, seed=f"replay/{answer.number}")
        if request.get("stream"):
            await _stream(send, answer.status, completion, include_usage=_wants_usage(request))
        else:
            await send_body(send, answer.status, _JSON, encode(completion))

    def _unknown(self, request: JsonObject) -> str:
        messages = request.get("messages")
        count = len(messages) if isinstance(messages, list) else 0
        return (
            f"None of the {self._recording.calls} recorded calls has this request (model "
            f"{request.get('model')!r}, {count} messages). A request has to be recorded whole: same model, "
            "messages, tools and parameters; only stream and stream_options may differ. Add its call to the "
            "replayed files, or send a recorded request."
        )

    def _models(self) -> JsonObject:
        models = [
            {"id": model, "object": "model", "created": 0, "owned_by": "replay"}
            for model in sorted(self._recording.models)
        ]
        return {"object": "list", "data": models}


def _decoded(body: bytes) -> JsonObject:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"The request body is not JSON: {error}.") from error
    if not isinstance(request, dict):
        raise BadInput(f"The request body is a JSON {type(request).__name__}; it has to be an object.")
    return request


def _wants_usage(request: JsonObject) -> bool:
    options = request.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


async def _stream(send: Send, status: int, completion: JsonObject, *, include_usage: bool) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _STREAM})
    for event in events_of(completion, include_usage=include_usage):
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, status: int, message: str, code: str) -> None:
    await send_json(send, status, error_payload(message, kind="invalid_request_error", code=code))
