"""Anthropic's Messages: a request in chat-completions form, and what of it no answer can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.dialect.codec import encode_text
from offramp.dialect.fields import child, given, objects, text, without
from offramp.dialect.form import MORE_THAN_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_NOT_SAID = frozenset({"thinking", "redacted_thinking", "tool_use"})
_READ = _NOT_SAID | {"text", "tool_result"}
_TRANSLATED = (
    "system",
    "messages",
    "tools",
    "tool_choice",
    "stop_sequences",
    "output_config",
    "output_format",
)


def to_chat(request: JsonObject) -> JsonObject:
    """Return the request in chat-completions form.

    System blocks become the system message, tool results tool messages, tool uses tool calls, thinking
    ``reasoning_content``, images ``image_url`` parts; blocks of other types stay as opaque parts.
    """
    chat = without(request, *_TRANSLATED)
    system = request.get("system")
    head = [{"role": "system", "content": _parts(system)}] if system else []
    chat["messages"] = head + [turn for item in objects(request.get("messages")) for turn in _turns(item)]
    if isinstance(request.get("tools"), list):
        chat["tools"] = [_tool(tool) for tool in objects(request["tools"])]
    if "tool_choice" in request:
        chat |= _choice(request["tool_choice"])
    if request.get("stop_sequences"):
        chat["stop"] = request["stop_sequences"]
    return chat | _output(request)


def _turns(message: JsonObject) -> Iterator[JsonObject]:
    if message.get("role") == "assistant":
        yield assistant(message)
        return
    content = message.get("content")
    if not isinstance(content, list):
        yield message
        return
    waiting: list[Any] = []
    for block in content:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            if waiting:
                yield message | {"content": _parts(waiting)}
            waiting = []
            yield _result(block)
        else:
            waiting.append(block)
    if waiting or not content:
        yield message | {"content": _parts(waiting)}


def assistant(message: JsonObject) -> JsonObject:
    """Return an assistant's message, of a request or a response, in chat-completions form."""
    content = message.get("content")
    blocks = objects(content)
    if isinstance(content, str) or not blocks:
        return {"role": "assistant", "content": content or ""}
    said = [block for block in blocks if text(block, "type") not in _NOT_SAID]
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    thoughts = "".join(text(block, "thinking") for block in blocks)
    spoken: Any = _spoken(said) if said or not calls else None
    turn: JsonObject = {"role": "assistant", "content": spoken}
    return turn | given(reasoning_content=thoughts or None, tool_calls=calls or None)


def _spoken(blocks: list[JsonObject]) -> str | list[JsonObject]:
    """Join text blocks, the pieces of one text; where another block stands among them, keep the list."""
    if all(block.get("type") == "text" for block in blocks):
        return "".join(text(block, "text") for block in blocks)
    return blocks


def _call(block: JsonObject) -> JsonObject:
    # A stream may have ended in arguments that are no JSON: then they stay as they came.
    said = text(block, "partial_json") or encode_text(block.get("input") or {})
    return {
        "id": text(block, "id"),
        "type": "function",
        "function": {"name": text(block, "name"), "arguments": said},
    }


def _result(block: JsonObject) -> JsonObject:
    failed = {"is_error": True} if block.get("is_error") else {}
    content = _parts(block.get("content"))
    return {"role": "tool", "tool_call_id": text(block, "tool_use_id"), "content": content} | failed


def _parts(content: object) -> Any:
    """Return content as a text where it is one text, else as parts."""
    if isinstance(content, list):
        parts = [_part(block) for block in content if isinstance(block, dict)]
        lone = parts[0] if len(parts) == 1 else {}
        return lone["text"] if lone.get("type") == "text" and len(lone) == 2 and "text" in lone else parts
    return content if isinstance(content, str) else ""


def _part(block: JsonObject) -> JsonObject:
    source = child(block, "source")
    if block.get("type") != "image" or text(source, "type") not in {"base64", "url"}:
        return block
    url = source.get("url") or f"data:{text(source, 'media_type')};base64,{text(source, 'data')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(tool: JsonObject) -> JsonObject:
    if tool.get("type", "custom") != "custom":
        return tool
    function = given(
        name=tool.get("name"),
        description=tool.get("description"),
        parameters=tool.get("input_schema"),
        strict=tool.get("strict"),
    )
    kept = without(tool, "type", "name", "description", "input_schema", "strict")
    return {"type": "function", "function": function} | kept


def _choice(choice: object) -> JsonObject:
    if not isinstance(choice, dict):
        return {"tool_choice": choice}
    kind = choice.get("type")
    parallel = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    if kind == "tool":
        return {"tool_choice": {"type": "function", "function": {"name": text(choice, "name")}}} | parallel
    return {"tool_choice": _CHOICES.get(kind, choice) if isinstance(kind, str) else choice} | parallel


def _output(request: JsonObject) -> JsonObject:
    """Return the response format; the beta wrote it at the top."""
    config = child(request, "output_config")
    wanted = child(config, "format") or child(request, "output_format")
    rest = without(config, "format")
    chat: JsonObject = {"output_config": rest} if rest else {}
    if wanted.get("type") == "json_schema":
        wrapped = without(wanted, "type")
        chat["response_format"] = {"type": "json_schema", "json_schema": wrapped}
    elif wanted:
        chat["response_format"] = wanted
    return chat


def beyond(request: JsonObject) -> str:
    """Name what the request asks for that an answer cannot hold, "" where there is nothing."""
    if child(request, "thinking").get("type", "disabled") != "disabled":
        return "thinking"
    for field in ("mcp_servers", "container"):
        if request.get(field):
            return field
    if any(tool.get("type", "custom") != "custom" for tool in objects(request.get("tools"))):
        return "built-in tool"
    contents = [message.get("content") for message in objects(request.get("messages"))]
    blocks = [block for content in contents for block in objects(content)]
    if any(child(block, "citations").get("enabled") for block in blocks):
        return "citations"
    inner = [part for block in blocks for part in objects(block.get("content"))]
    return "" if all(text(block, "type") in _READ for block in (*blocks, *inner)) else MORE_THAN_TEXT
