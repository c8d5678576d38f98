"""What a gateway does to the fields of a call: kept, moved, changed, lost, or refused.

One probe asks about one field, so that a refusal of one does not hide the fate of the others. The upstream
keeps the body it received, byte for byte, and answers with fields of its own.
"""

from __future__ import annotations

import copy
import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.gateway import answers, special
from bench.gateway.fates import CHANGED, KEPT, Path, fate, header_field, response_field, same, stream_fields
from bench.gateway.running import ask

if TYPE_CHECKING:
    from bench.gateway.running import Gateway, Heard, Upstream

_TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks up.",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True, slots=True)
class Probe:
    """One field of a request.

    Attributes:
        name: Name in the table.
        path: Where the field is.
        fields: Top-level fields of the request beside model and messages, the probed one among them.
        message: The user message; a plain one by default.
    """

    name: str
    path: Path
    fields: dict[str, Any]
    message: dict[str, Any] | None = None

    def request(self, model: str) -> dict[str, Any]:
        """Return the request."""
        message = self.message or {"role": "user", "content": "Hi"}
        return copy.deepcopy({"model": model, "messages": [message], **self.fields})


def _top(name: str, value: Any, **others: Any) -> Probe:
    return Probe(name, (name,), {name: value, **others})


_PARTS = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
_CACHED = [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_IMAGE = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}", "detail": "low"}}]
_STRICT = {"type": "function", "function": {**_TOOL["function"], "strict": True}}  # type: ignore[dict-item]  # one literal

REQUEST: tuple[Probe, ...] = (
    Probe(
        "cache_control",
        ("messages", 0, "content", 0, "cache_control"),
        {},
        {"role": "user", "content": _CACHED},
    ),
    Probe("content parts", ("messages", 0, "content"), {}, {"role": "user", "content": _PARTS}),
    Probe("image part", ("messages", 0, "content"), {}, {"role": "user", "content": _IMAGE}),
    Probe("tools[].function.strict", ("tools", 0, "function", "strict"), {"tools": [_STRICT]}),
    Probe("tool_choice auto", ("tool_choice",), {"tools": [_TOOL], "tool_choice": "auto"}),
    _top("seed", 7),
    _top("user", "user-1"),
    Probe("logprobs", ("logprobs",), {"logprobs": True}),
    Probe("top_logprobs", ("top_logprobs",), {"logprobs": True, "top_logprobs": 3}),
    _top("prompt_cache_key", "tenant-7"),
    _top("metadata", {"trace": "t-1"}),
    _top("reasoning_effort", "low"),
    _top("stream_options", {"include_usage": True}, stream=True),
    _top("service_tier", "flex"),
    Probe("unknown key, top level", ("x_unknown",), {"x_unknown": {"deep": [1, None]}}),
    Probe(
        "unknown key, message",
        ("messages", 0, "x_note"),
        {},
        {"role": "user", "content": "Hi", "x_note": "n"},
    ),
)

_MESSAGE: Path = ("choices", 0, "message")
RESPONSE: tuple[tuple[str, Path], ...] = (
    ("reasoning_content", (*_MESSAGE, "reasoning_content")),
    ("logprobs", ("choices", 0, "logprobs", "content", 0, "logprob")),
    ("usage details", ("usage", "prompt_tokens_details", "cached_tokens")),
    ("system_fingerprint", ("system_fingerprint",)),
    ("service_tier", ("service_tier",)),
    ("unknown key, top level", ("x_top",)),
    ("unknown key, choice", ("choices", 0, "x_choice")),
    ("unknown key, message", (*_MESSAGE, "x_message")),
)
HEADERS = tuple(name.decode() for name, _ in special.HEADERS)
OTHERS = (
    ("/responses", answers.responses),
    ("/messages", answers.messages),
    ("/embeddings", answers.embeddings),
)

_CHAT = "/chat/completions"
_ODD = (
    '{ "messages" : [ {"role":"user",  "content":"caf\\u00e9 \\/"} ],\n  "temperature": 1.00, "model":"%s" }'
)


def probe_all(gateway: Gateway, upstream: Upstream) -> dict[str, str]:
    """Return the verdict of every probe by its name, in the order of the table."""
    asker = _Asker(gateway, upstream)
    found: dict[str, str] = {}
    added: set[str] = set()
    upstream.become("plain")
    for probe in REQUEST:
        found[f"request: {probe.name}"], more = asker.request_field(probe)
        added |= more
    found["request: keys added"] = ", ".join(sorted(added)) or "none"
    found["request: same bytes"] = asker.same_bytes()
    found |= _responses(asker, upstream)
    upstream.become("plain")
    for path, body in OTHERS:
        found[f"other path: {path}, same bytes"] = asker.other(path, body())
    return found


def _responses(asker: _Asker, upstream: Upstream) -> dict[str, str]:
    found: dict[str, str] = {}
    upstream.become("special")
    heard = asker.call()
    found |= {f"response: {name}": response_field(heard, path) for name, path in RESPONSE}
    found["response: same bytes"] = same(heard, 200, answers.dump(special.unary()))
    found |= {f"header: {name}": header_field(heard, name) for name in HEADERS}
    upstream.become("special-stream")
    heard = asker.call(stream=True)
    found |= {f"stream: {name}": verdict for name, verdict in stream_fields(heard).items()}
    found["stream: same bytes"] = same(heard, 200, special.stream_body())
    for status in (400, 429, 500):
        upstream.become(f"error-{status}")
        heard = asker.call()
        found[f"error {status}: same bytes"] = same(heard, status, special.error(status))
        found[f"error {status}: retry-after"] = header_field(heard, "retry-after", any_status=True)
    return found


class _Asker:
    """Asks one gateway."""

    def __init__(self, gateway: Gateway, upstream: Upstream) -> None:
        self._gateway = gateway
        self._upstream = upstream

    def post(self, path: str, body: bytes) -> Heard | str:
        """Return the response, or what went wrong instead of one."""
        headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
        try:
            return ask(self._gateway.port, "POST", path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}"

    def call(self, *, stream: bool = False) -> Heard | str:
        """Ask for a chat completion."""
        request: dict[str, Any] = {
            "model": self._gateway.peer.model,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        if stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        return self.post(self._gateway.peer.path, answers.dump(request))

    def request_field(self, probe: Probe) -> tuple[str, set[str]]:
        """Return what reached the upstream of a field, and the top-level keys that were added."""
        request = probe.request(self._gateway.peer.model)
        before = self._upstream.count()
        heard = self.post(self._gateway.peer.path, answers.dump(request))
        if isinstance(heard, str):
            return heard, set()
        if heard.status != 200:
            return f"HTTP {heard.status}", set()
        if self._upstream.count() == before:
            return "not asked", set()
        received = json.loads(self._upstream.last())
        return fate(request, received, probe.path), set(received) - set(request)

    def same_bytes(self) -> str:
        """Say whether a body with odd spacing, an escape and a float reaches the upstream as it is."""
        body = (_ODD % self._gateway.peer.model).encode()
        heard = self.post(self._gateway.peer.path, body)
        if isinstance(heard, str) or heard.status != 200:
            return heard if isinstance(heard, str) else f"HTTP {heard.status}"
        return KEPT if self._upstream.last() == body else CHANGED

    def other(self, path: str, expected: bytes) -> str:
        """Say whether another path of the API passes both ways."""
        peer = self._gateway.peer
        asked = b'"messages":[{"role":"user","content":"Hi"}]' if "messages" in path else b'"input":"Hi"'
        body = b'{ "model": "%s",  "max_tokens": 5, %s }' % (peer.model.encode(), asked)
        heard = self.post(peer.path.removesuffix(_CHAT) + path, body)
        verdict = same(heard, 200, expected)
        return verdict if verdict != KEPT or self._upstream.last() == body else "CHANGED up"
