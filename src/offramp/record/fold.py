"""Folds a stream of server-sent events into the one completion it amounts to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_DONE = "[DONE]"
_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded stream.

    Attributes:
        body: A chat completion, or an error body.
        complete: Whether the stream came to its end.
    """

    body: JsonObject
    complete: bool


def events(stream: bytes) -> Iterator[str]:
    """Yield the data of each event; comments and other fields are skipped (WHATWG server-sent events).

    An event that the end of the stream cuts short is yielded too: many servers leave out the last newline.
    """
    data: list[str] = []
    for line in re.split(r"\r\n|\n|\r", stream.decode("utf-8-sig", "replace")):
        if not line and data:
            yield "\n".join(data)
            data = []
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
    if data:
        yield "\n".join(data)


@dataclass(slots=True)
class _Tool:
    """One tool call as it grows."""

    id: str = ""
    type: str = "function"
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def take(self, delta: JsonObject) -> None:
        self.id = self.id or str(delta.get("id") or "")
        self.type = str(delta.get("type") or self.type)
        function = delta.get("function")
        if not isinstance(function, dict):
            return
        piece = function.get("name")
        # Some servers repeat the whole name in every chunk, some send it in pieces.
        if isinstance(piece, str) and piece != self.name:
            self.name += piece
        if isinstance(function.get("arguments"), str):
            self.arguments.append(function["arguments"])

    def body(self) -> JsonObject:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": self.type, "function": function}


@dataclass(slots=True)
class _Choice:
    """One choice as it grows."""

    role: str = "assistant"
    texts: dict[str, list[str]] = field(default_factory=dict)
    rest: JsonObject = field(default_factory=dict)
    tools: list[_Tool] = field(default_factory=list)
    places: dict[Any, _Tool] = field(default_factory=dict)
    function: _Tool | None = None
    finish: str | None = None

    def take(self, delta: JsonObject) -> None:
        for name, value in delta.items():
            if name == "role":
                self.role = str(value or self.role)
            elif name == "tool_calls" and isinstance(value, list):
                for item in value:
                    if isinstance(item, dict):
                        self._tool(item).take(item)
            elif name == "function_call" and isinstance(value, dict):
                self.function = self.function or _Tool()
                self.function.take({"function": value})
            elif isinstance(value, str):
                self.texts.setdefault(name, []).append(value)
            elif value is not None:
                self.rest[name] = value

    def _tool(self, delta: JsonObject) -> _Tool:
        """Find the tool call that a delta continues, by index, or by id where servers leave indices out."""
        number, place = delta.get("id"), delta.get("index")
        if place is None:
            place = number or (len(self.tools) - 1 if self.tools else 0)
        tool = self.places.get(place)
        # Some servers send every parallel call under index 0: another id begins another call.
        if tool is None or (number and tool.id and number != tool.id):
            tool = self.places[place] = _Tool()
            self.tools.append(tool)
            self.places.setdefault(len(self.tools) - 1, tool)
        return tool

    def body(self, index: int) -> JsonObject:
        message: JsonObject = {"role": self.role, "content": None}
        message |= {name: "".join(pieces) for name, pieces in self.texts.items()} | self.rest
        if self.tools:
            message["tool_calls"] = [tool.body() for tool in self.tools]
            message["content"] = message["content"] or None
        if self.function is not None:
            message["function_call"] = self.function.body()["function"]
        return {"index": index, "message": message, "finish_reason": self.finish}


@dataclass(slots=True)
class _Stream:
    """The completion as it grows."""

    head: JsonObject = field(default_factory=dict)
    choices: dict[int, _Choice] = field(default_factory=dict)
    usage: JsonObject | None = None
    error: Any = None

    def take(self, chunk: JsonObject) -> None:
        self.error = chunk.get("error") or self.error
        self.usage = chunk.get("usage") or self.usage
        for name in _HEAD:
            if chunk.get(name):
                self.head.setdefault(name, chunk[name])
        choices = chunk.get("choices")
        for item in choices if isinstance(choices, list) else []:
            if isinstance(item, dict):
                self._choice(item)

    def _choice(self, item: JsonObject) -> None:
        index = item.get("index")
        choice = self.choices.setdefault(index if isinstance(index, int) else 0, _Choice())
        delta = item.get("delta")
        if isinstance(delta, dict):
            choice.take(delta)
        choice.finish = item.get("finish_reason") or choice.finish

    def fold(self, *, done: bool) -> Folded:
        choices = [choice.body(index) for index, choice in sorted(self.choices.items())]
        ended = done or (bool(choices) and all(choice["finish_reason"] for choice in choices))
        usage = {"usage": self.usage} if self.usage else {}
        if self.error is not None:
            return Folded({"error": self.error, "partial": choices} | usage, complete=False)
        if not ended or not choices:
            return Folded({"error": _BROKEN, "partial": choices} | usage, complete=False)
        return Folded(self.head | {"object": "chat.completion", "choices": choices} | usage, complete=True)


_BROKEN = {"type": "incomplete_stream", "message": "The stream ended before the answer did."}


def fold(stream: bytes) -> Folded:
    """Fold the event stream of one chat completion.

    A stream that breaks off, or carries an error, gives an error body with what came in ``partial``: part of
    an answer must never be taken for an answer.
    """
    folding = _Stream()
    done = False
    for data in events(stream):
        if data.strip() == _DONE:
            done = True
            break
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(chunk, dict):
            folding.take(chunk)
    return folding.fold(done=done)
