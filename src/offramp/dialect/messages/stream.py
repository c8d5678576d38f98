"""Anthropic's Messages: the events of a stream, made of a message and folded back into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import cut, decode, encode_text, event, payloads
from offramp.dialect.fields import child, objects, text, without
from offramp.dialect.form import Folded, broken, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject


def events_of(message: JsonObject) -> Iterator[bytes]:
    """Cut a message into the events a streaming server would have sent, ``ping`` included."""
    usage = child(message, "usage")
    # As the API does: what was said is counted at the end.
    opening: JsonObject = {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage | {"output_tokens": 1},
    }
    yield _event("message_start", message=message | opening)
    yield _event("ping")
    for index, block in enumerate(objects(message.get("content"))):
        yield from _block_events(index, block)
    ending = {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    yield _event("message_delta", delta=ending, usage=usage)
    yield _event("message_stop")


def _block_events(index: int, block: JsonObject) -> Iterator[bytes]:
    if block.get("type") == "tool_use":
        opening = block | {"input": {}}
        pieces = cut(encode_text(block.get("input")))
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
    else:
        opening = block | {"text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in cut(text(block, "text"))]
    yield _event("content_block_start", index=index, content_block=opening)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


@dataclass(slots=True)
class _Block:
    """One content block as it grows."""

    start: JsonObject
    pieces: dict[str, list[str]] = field(default_factory=dict)
    citations: list[Any] = field(default_factory=list)

    def take(self, delta: JsonObject) -> None:
        for name, value in delta.items():
            if name == "citation":
                self.citations.append(value)
            elif name != "type" and isinstance(value, str):
                self.pieces.setdefault(name, []).append(value)

    def body(self) -> JsonObject:
        joined = {name: "".join(pieces) for name, pieces in self.pieces.items()}
        written = joined.pop("partial_json", "")
        # What a block opens with comes first: some servers put the first piece, or the whole text, there.
        block = self.start | {name: text(self.start, name) + piece for name, piece in joined.items()}
        if written:
            read = decode(written.encode("utf-8", "surrogatepass"))
            block |= {"input": read} if isinstance(read, dict) else {"partial_json": written}
        if self.citations:
            block["citations"] = [*(self.start.get("citations") or []), *self.citations]
        return block


@dataclass(slots=True)
class _Stream:
    """The message as it grows."""

    message: JsonObject = field(default_factory=dict)
    blocks: dict[int, _Block] = field(default_factory=dict)
    usage: JsonObject = field(default_factory=dict)
    error: Any = None

    def take(self, item: JsonObject) -> None:
        index = item.get("index")
        place = index if isinstance(index, int) else len(self.blocks)
        match item.get("type"):
            case "message_start":
                self.message = {"type": "message"} | without(child(item, "message"), "content", "usage")
                self._count(child(item, "message"))
            case "content_block_start":
                self.blocks[place] = _Block(child(item, "content_block"))
            case "content_block_delta":
                self.blocks.setdefault(place, _Block({"type": "text"})).take(child(item, "delta"))
            case "message_delta":
                self.message |= {k: v for k, v in child(item, "delta").items() if v is not None}
                self._count(item)
            case "error":
                self.error = item.get("error") or item

    def _count(self, item: JsonObject) -> None:
        self.usage |= {name: value for name, value in child(item, "usage").items() if value is not None}

    def fold(self) -> Folded:
        blocks = [block.body() for _, block in sorted(self.blocks.items())]
        message = self.message | {"content": blocks} | ({"usage": self.usage} if self.usage else {})
        if self.error is not None or not (self.message.get("stop_reason") and "type" in self.message):
            return broken(message, self.error)
        return Folded(message, complete=True)


def fold(stream: bytes) -> Folded:
    """Fold the event stream of one message; one that breaks off gives an error body, see :func:`broken`.

    It is whole once it has its ``stop_reason``, which comes after all content. Events of other types are
    skipped, as the API's documentation asks of clients.
    """
    folding = _Stream()
    for item in payloads(stream):
        if isinstance(item, dict):
            folding.take(item)
        elif item is None:
            folding.error = folding.error or damaged()
    return folding.fold()
