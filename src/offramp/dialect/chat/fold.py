"""Folds the event stream of a chat completion into the one body it amounts to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import payloads
from offramp.dialect.fields import child, objects
from offramp.dialect.form import Folded, broken, damaged

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

# What is folded by itself, or tells of the stream only.
_APART = frozenset({"choices", "usage", "error", "object", "obfuscation"})
_OF_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_OF_TOOL = frozenset({"index", "id", "type", "function", "custom"})


@dataclass(slots=True)
class _Tool:
    """One tool call as it grows: of a function with arguments, or of a custom tool with an input."""

    id: str = ""
    type: str = "function"
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    rest: JsonObject = field(default_factory=dict)

    def take(self, delta: JsonObject) -> None:
        self.id = self.id or str(delta.get("id") or "")
        self.type = str(delta.get("type") or self.type)
        self.rest |= {name: value for name, value in delta.items() if name not in _OF_TOOL}
        function = delta.get("function") or delta.get("custom")
        if not isinstance(function, dict):
            return
        piece = function.get("name")
        # Some servers repeat the whole name in every chunk, some send it in pieces.
        if isinstance(piece, str) and piece != self.name:
            self.name += piece
        said = function.get("arguments", function.get("input"))
        if isinstance(said, str):
            self.pieces.append(said)

    def body(self) -> JsonObject:
        what, said = ("custom", "input") if self.type == "custom" else ("function", "arguments")
        head = {"id": self.id, "type": self.type}
        return head | self.rest | {what: {"name": self.name, said: "".join(self.pieces)}}


@dataclass(slots=True)
class _Choice:
    """One choice as it grows."""

    role: str = "assistant"
    texts: dict[str, list[str]] = field(default_factory=dict)
    rest: JsonObject = field(default_factory=dict)
    tools: list[_Tool] = field(default_factory=list)
    places: dict[int | str, _Tool] = field(default_factory=dict)
    function: _Tool | None = None
    finish: Any = None
    beside: JsonObject = field(default_factory=dict)

    def take(self, item: JsonObject) -> None:
        delta = item.get("delta")
        if isinstance(delta, dict):
            self._delta(delta)
        self.finish = item.get("finish_reason") or self.finish
        if "logprobs" in item:
            gathered = self.beside.setdefault("logprobs", {})
            if item["logprobs"]:
                _gather(gathered, item["logprobs"])
        for name in item.keys() - _OF_CHOICE:
            if item[name]:
                self.beside[name] = item[name]

    def _delta(self, delta: JsonObject) -> None:
        for name, value in delta.items():
            if isinstance(value, str) and name != "role":
                self.texts.setdefault(name, []).append(value)
            elif name == "role":
                self.role = str(value or self.role)
            elif name == "tool_calls" and isinstance(value, list):
                for item in objects(value):
                    self._tool(item).take(item)
            elif name == "function_call" and isinstance(value, dict):
                self.function = self.function or _Tool()
                self.function.take({"function": value})
            elif isinstance(value, list) and isinstance(self.rest.get(name), list):
                self.rest[name] = self.rest[name] + value
            elif value is not None or name not in self.rest:
                self.rest[name] = value

    def _tool(self, delta: JsonObject) -> _Tool:
        """Find the tool call that a delta continues, by index, or by id where servers leave indices out."""
        number, place = delta.get("id"), delta.get("index")
        if not isinstance(place, int):
            last = len(self.tools) - 1 if self.tools else 0
            place = number if isinstance(number, str) and number else last
        tool = self.places.get(place)
        # Some servers send every parallel call under index 0: another id begins another call.
        if tool is None or (number and tool.id and number != tool.id):
            tool = self.places[place] = _Tool()
            self.tools.append(tool)
            self.places.setdefault(len(self.tools) - 1, tool)
        return tool

    def body(self, index: int) -> JsonObject:
        message: JsonObject = {"role": self.role, "content": None} | self.rest
        for name, pieces in self.texts.items():
            joined = "".join(pieces)
            # Some servers stream their thoughts as a list of parts and what they say as text.
            listed = message.get(name) if joined else None
            parts = [*listed, {"type": "text", "text": joined}] if isinstance(listed, list) else None
            message[name] = joined if parts is None else parts
        if self.tools:
            message["tool_calls"] = [tool.body() for tool in self.tools]
            message["content"] = message["content"] or None
        if self.function is not None:
            message["function_call"] = self.function.body()["function"]
        beside = {name: value or None for name, value in self.beside.items()}
        return {"index": index, "message": message, **beside, "finish_reason": self.finish}


def _gather(gathered: JsonObject, logprobs: object) -> None:
    """Join the lists of log-probabilities that come piece by piece."""
    for name, value in logprobs.items() if isinstance(logprobs, dict) else ():
        known = gathered.get(name)
        gathered[name] = (
            known + value if isinstance(known, list) and isinstance(value, list) else value or known
        )


@dataclass(slots=True)
class _Stream:
    """The completion as it grows."""

    head: JsonObject = field(default_factory=dict)
    known: set[str] = field(default_factory=lambda: set(_APART))
    choices: dict[int, _Choice] = field(default_factory=dict)
    usage: Any = None
    error: Any = None

    def take(self, chunk: JsonObject) -> None:
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        elif "x_groq" in chunk:
            # Groq counts under a name of its own.
            self.usage = child(chunk, "x_groq").get("usage") or self.usage
        if chunk.get("error") or chunk.get("object") == "error":
            self.error = chunk.get("error") or chunk
        for name in chunk.keys() - self.known:
            if chunk[name]:
                self.head[name] = chunk[name]
                self.known.add(name)
        for item in objects(chunk.get("choices")):
            index = item.get("index")
            place = index if isinstance(index, int) else 0
            choice = self.choices.get(place)
            if choice is None:
                choice = self.choices[place] = _Choice()
            choice.take(item)

    def fold(self) -> Folded:
        choices = [choice.body(index) for index, choice in sorted(self.choices.items())]
        ended = bool(choices) and all(choice["finish_reason"] for choice in choices)
        if self.error is not None or not ended:
            return broken(choices, self.error, usage=self.usage)
        usage = {"usage": self.usage} if self.usage else {}
        return Folded(self.head | {"object": "chat.completion", "choices": choices} | usage, complete=True)


def fold(stream: bytes) -> Folded:
    """Fold the event stream of one chat completion.

    A stream that breaks off, carries an error or an event that is no JSON gives an error body with what came
    in ``partial``: part of an answer must never be taken for an answer. It is whole once every choice has its
    finish reason; servers that leave ``[DONE]`` out are read too.
    """
    folding = _Stream()
    for chunk in payloads(stream):
        if isinstance(chunk, dict):
            folding.take(chunk)
        elif chunk is None:
            folding.error = folding.error or damaged()
    return folding.fold()
