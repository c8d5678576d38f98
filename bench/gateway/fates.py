"""What became of a field or a body: comparisons, pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench.gateway import special

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gateway.running import Heard

KEPT, LOST, CHANGED, MOVED = "kept", "LOST", "CHANGED", "moved"
Path = tuple[str | int, ...]
_MISSING = object()


def at(document: Any, path: Path) -> Any:
    """Return what is at a path of a JSON document, or a mark that nothing is."""
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return document


def fate(sent: Any, received: Any, path: Path) -> str:
    """Say what became of the field at a path."""
    wanted, got = at(sent, path), at(received, path)
    if got is not _MISSING:
        return KEPT if got == wanted else CHANGED
    return MOVED if _holds(received, path[-1], wanted) else LOST


def _holds(document: Any, key: str | int, value: Any) -> bool:
    if isinstance(document, dict):
        if key in document and document[key] == value:
            return True
        return any(_holds(one, key, value) for one in document.values())
    return isinstance(document, list) and any(_holds(one, key, value) for one in document)


def response_field(heard: Heard | str, path: Path) -> str:
    """Say what became of a field of the response."""
    document = _document(heard)
    return document if isinstance(document, str) else fate(special.unary(), document, path)


def header_field(heard: Heard | str, name: str, *, any_status: bool = False) -> str:
    """Say what became of a header field of the response."""
    if isinstance(heard, str):
        return heard
    if heard.status != 200 and not any_status:
        return f"HTTP {heard.status}"
    wanted = dict(special.HEADERS)[name.encode()].decode()
    got = heard.headers.get(name)
    if got == wanted:
        return KEPT
    if got is None:
        return MOVED if wanted in heard.headers.values() else LOST
    return CHANGED


def stream_fields(heard: Heard | str) -> dict[str, str]:
    """Say what became of what a stream held: a whole tool call in one delta above all."""
    names = ("tool call in one delta", "reasoning_content", "unknown key, delta", "usage details", "[DONE]")
    if isinstance(heard, str) or heard.status != 200:
        return dict.fromkeys(names, heard if isinstance(heard, str) else f"HTTP {heard.status}")
    events, done = events_of(heard.body)
    deltas = [choice.get("delta") or {} for one in events for choice in one.get("choices") or []]
    usage = [one["usage"] for one in events if one.get("usage")]
    cached = at(usage[-1], ("prompt_tokens_details", "cached_tokens")) if usage else _MISSING
    reasoning = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    verdicts = (
        _tool_call(deltas),
        KEPT if reasoning == "Look it up." else LOST,
        KEPT if any(delta.get("x_delta") == "kept" for delta in deltas) else LOST,
        KEPT if cached == 16 else LOST,
        KEPT if done else LOST,
    )
    return dict(zip(names, verdicts, strict=True))


def _tool_call(deltas: Sequence[dict[str, Any]]) -> str:
    """Join the pieces as a client does."""
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    functions = [call.get("function") or {} for call in calls]
    joined: dict[str, str] = {
        "id": "".join(call.get("id") or "" for call in calls),
        "name": "".join(function.get("name") or "" for function in functions),
        "arguments": "".join(function.get("arguments") or "" for function in functions),
    }
    wanted = {"id": special.TOOL_CALL["id"], **special.TOOL_CALL["function"]}  # type: ignore[dict-item]  # one literal
    if joined == wanted:
        return KEPT if len(calls) == 1 else "kept, split"
    missing = [name for name, value in wanted.items() if joined[name] != value]
    return LOST if len(missing) == len(wanted) else f"{', '.join(missing)} LOST"


def events_of(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """Return the JSON events of a stream, and whether it ended with ``[DONE]``."""
    data = [
        line[5:].strip() for line in body.decode(errors="replace").splitlines() if line.startswith("data:")
    ]
    return [json.loads(one) for one in data if one.startswith("{")], "[DONE]" in data


def _document(heard: Heard | str) -> Any:
    if isinstance(heard, str):
        return heard
    if heard.status != 200:
        return f"HTTP {heard.status}"
    try:
        return json.loads(heard.body)
    except ValueError:
        return "not JSON"


def same(heard: Heard | str, status: int, body: bytes) -> str:
    """Say whether a response has this status and these very bytes."""
    if isinstance(heard, str):
        return heard
    if heard.status != status:
        return f"HTTP {heard.status}"
    return KEPT if heard.body == body else CHANGED
