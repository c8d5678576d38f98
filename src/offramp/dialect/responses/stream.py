"""OpenAI's Responses: the events of a stream, made of a response and folded back into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import cut, event, payloads
from offramp.dialect.fields import child, objects, text
from offramp.dialect.form import Folded, broken, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

# The events that carry the whole response, and whether it is one.
_LAST = {"response.completed": True, "response.incomplete": True, "response.failed": False}
# Of pieces: where in its item a piece belongs.
_IN_ITEM = {"response.function_call_arguments": "arguments", "response.custom_tool_call_input": "input"}
_IN_PART = {
    "response.output_text": ("output_text", "text"),
    "response.refusal": ("refusal", "refusal"),
    "response.reasoning_text": ("reasoning_text", "text"),
}


def events_of(response: JsonObject) -> Iterator[bytes]:
    """Cut a response into the events a streaming server would have sent."""
    opening = response | {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    numbered: list[JsonObject] = [
        {"type": "response.created", "response": opening},
        {"type": "response.in_progress", "response": opening},
    ]
    for place, item in enumerate(objects(response.get("output"))):
        numbered += _item_events(item, place)
    numbered.append({"type": f"response.{response.get('status')}", "response": response})
    for number, item in enumerate(numbered):
        yield event(item | {"sequence_number": number}, item["type"])


def _item_events(item: JsonObject, place: int) -> Iterator[JsonObject]:
    at = {"output_index": place}
    here = at | {"item_id": item.get("id")}
    if item.get("type") == "message":
        empty: JsonObject = {"status": "in_progress", "content": []}
        inner = [made for at, part in enumerate(item["content"]) for made in _part_events(part, at, here)]
    else:
        empty = {"status": "in_progress", "arguments": ""}
        said = text(item, "arguments")
        kind = "response.function_call_arguments"
        inner = [{"type": f"{kind}.delta", **here, "delta": piece} for piece in cut(said)]
        inner.append({"type": f"{kind}.done", **here, "name": item.get("name"), "arguments": said})
    yield {"type": "response.output_item.added", **at, "item": item | empty}
    yield from inner
    yield {"type": "response.output_item.done", **at, "item": item}


def _part_events(part: JsonObject, place: int, here: JsonObject) -> Iterator[JsonObject]:
    at, said = here | {"content_index": place}, text(part, "text")
    yield {"type": "response.content_part.added", **at, "part": part | {"text": ""}}
    for piece in cut(said):
        yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": said, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}


@dataclass(slots=True)
class _Item:
    """One output item as it grows, for a stream that breaks off."""

    start: JsonObject
    pieces: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)
    done: JsonObject | None = None

    def take(self, kind: str, item: JsonObject) -> None:
        said = text(item, "delta")
        if kind in _IN_ITEM:
            self.pieces.setdefault(_IN_ITEM[kind], []).append(said)
        elif kind in _IN_PART:
            index = item.get("content_index")
            place = index if isinstance(index, int) else 0
            self.parts.setdefault(place, (*_IN_PART[kind], []))[2].append(said)

    def body(self) -> JsonObject:
        if self.done is not None:
            return self.done
        content = [
            {"type": kind, name: "".join(said)} for _, (kind, name, said) in sorted(self.parts.items())
        ]
        written = {name: "".join(said) for name, said in self.pieces.items()}
        return self.start | written | ({"content": content} if content else {})


@dataclass(slots=True)
class _Stream:
    """The response as it grows."""

    head: JsonObject = field(default_factory=dict)
    last: tuple[JsonObject, bool] | None = None
    items: dict[int, _Item] = field(default_factory=dict)
    error: Any = None

    def take(self, item: JsonObject) -> None:
        kind = text(item, "type")
        index = item.get("output_index")
        place = index if isinstance(index, int) else len(self.items)
        if kind in _LAST:
            self.last = child(item, "response"), _LAST[kind]
        elif kind == "response.created":
            self.head = child(item, "response")
        elif kind == "response.output_item.added":
            self.items[place] = _Item(child(item, "item"))
        elif kind == "response.output_item.done":
            self.items.setdefault(place, _Item({})).done = child(item, "item")
        elif kind.endswith(".delta"):
            self.items.setdefault(place, _Item({"type": "message"})).take(kind.removesuffix(".delta"), item)
        elif kind == "error" or "error" in item:
            self.error = item.get("error") or {key: item.get(key) for key in ("code", "message", "param")}

    def fold(self) -> Folded:
        output = [item.body() for _, item in sorted(self.items.items())]
        last, whole = self.last or (self.head, False)
        # Some servers send the last event without what came before it.
        response = last | {"output": last.get("output") or output}
        error = self.error or response.get("error")
        if error or not whole:
            return broken(response, error, usage=response.get("usage"))
        return Folded(response, complete=True)


def fold(stream: bytes) -> Folded:
    """Fold the event stream of one response; one that breaks off or fails gives an error body.

    Its last event holds the whole response; the pieces are put together only where that is missing.
    """
    folding = _Stream()
    for item in payloads(stream):
        if isinstance(item, dict):
            folding.take(item)
        elif item is None:
            folding.error = folding.error or damaged()
    return folding.fold()
