"""A call: one request to a language model with its response."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any

from offramp.core.json import JsonObject, canonical


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them, or as estimated where it did not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


class Dialect(enum.StrEnum):
    """The provider's API that a call was made in."""

    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True)
class Call:
    """One request with its response, parsed once at the border and the same type everywhere.

    Attributes:
        id: Unique id, sortable by time of creation.
        at: Arrival, seconds since the epoch.
        session: The agent run it belongs to (a keyed pseudonym); the unit of every statistic.
        origin: Keyed pseudonym of who asked (key, user, address); never the value itself.
        request: The request body in chat-completions form, whatever dialect it came in.
        response: The response body in chat-completion form; a stream is folded into one.
        status: HTTP status of the response.
        stream: Whether the client asked for server-sent events.
        latency_s: Seconds from the request's last byte to the response's last byte.
        usage: Tokens.
        route: Who answered: ``"teacher"`` or a specialist's id.
        meta: Facts about the call that no stage of the product reads (labels used for scoring).
        dialect: The API it was made in.
        trainable: Whether the upstream's terms and the caller's key allow training on it.
    """

    id: str
    at: float
    session: str
    origin: str
    request: JsonObject
    response: JsonObject
    status: int = 200
    stream: bool = False
    latency_s: float = 0.0
    usage: Usage = Usage()
    route: str = "teacher"
    meta: JsonObject = field(default_factory=dict)
    dialect: Dialect = Dialect.CHAT
    trainable: bool = True


class OutputType(enum.StrEnum):
    """The form of an answer, which decides how agreement is measured."""

    TOOL_CALL = "tool_call"
    JSON = "json"
    LABEL = "label"
    TEXT = "text"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an answer: the tool's name and its decoded arguments."""

    name: str
    arguments: JsonObject

    def canonical(self) -> str:
        """Equal calls give equal text, whatever the order of their arguments."""
        return canonical([self.name, self.arguments])


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, apart from how the provider wrapped it.

    Attributes:
        text: The message content ("" where there is none).
        tool_calls: The tool calls in order.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def answer_of(response: JsonObject) -> Answer | None:
    """Read the first choice of a chat completion.

    Returns:
        The answer, or None where the response holds none that can be compared (an error body, a
        refusal, undecodable arguments, an answer cut by the token limit, or more than one choice).
    """
    choices = response.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0] if isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict) or choice.get("finish_reason") == "length" or message.get("refusal"):
        return None
    content = message.get("content")
    calls = _tool_calls(message)
    if calls is None or (content is not None and not isinstance(content, str)):
        return None
    return Answer(text=content or "", tool_calls=calls)


def _tool_calls(message: JsonObject) -> tuple[ToolCall, ...] | None:
    raw = message.get("tool_calls") or []
    if message.get("function_call"):
        raw = [{"function": message["function_call"]}]
    calls = [_tool_call(item) for item in raw] if isinstance(raw, list) else [None]
    whole = tuple(call for call in calls if call is not None)
    return whole if len(whole) == len(calls) else None


def _tool_call(item: object) -> ToolCall | None:
    function = item.get("function") if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    text = function.get("arguments") or "{}"
    arguments = decode_json(text) if isinstance(text, str) else None
    return ToolCall(function["name"], arguments) if isinstance(arguments, dict) else None


def decode_json(text: str) -> Any:
    """Decode JSON text, or return None where it is none, or is nested deeper than can be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def last_user_text(request: JsonObject) -> str:
    """Return the text of the last user message, "" where there is none."""
    for message in reversed(request.get("messages") or []):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: object) -> str:
    """Flatten message content: a string as it is, the text parts of a list joined by newlines."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def functions_of(request: JsonObject) -> list[JsonObject]:
    """Return the function objects a request offers, from ``tools`` and the older ``functions``."""
    tools, functions = request.get("tools"), request.get("functions")
    offered: list[JsonObject] = []
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            offered.append(function)
    offered.extend(
        item for item in (functions if isinstance(functions, list) else []) if isinstance(item, dict)
    )
    return offered
