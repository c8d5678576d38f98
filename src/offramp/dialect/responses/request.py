"""OpenAI's Responses: a request in chat-completions form, and what of it no answer can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.dialect.fields import child, given, objects, text, without
from offramp.dialect.form import MORE_THAN_TEXT

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

_TRANSLATED = ("instructions", "input", "tools", "tool_choice", "text", "max_output_tokens")
_TEXTS = frozenset({"input_text", "output_text", "text", "reasoning_text"})
_READ = frozenset({"", "message", "function_call", "function_call_output", "reasoning"})
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def to_chat(request: JsonObject) -> JsonObject:
    """Return the request in chat-completions form.

    Instructions become the system message, function calls and their outputs tool calls and tool messages,
    reasoning summaries ``reasoning_content``; items of other types stay as opaque parts.
    """
    chat = without(request, *_TRANSLATED)
    instructions = request.get("instructions")
    head = [{"role": "system", "content": instructions}] if instructions else []
    chat["messages"] = head + _turns(request.get("input"))
    if isinstance(request.get("tools"), list):
        chat["tools"] = [_tool(tool) for tool in objects(request["tools"])]
    if "tool_choice" in request:
        chat["tool_choice"] = _choice(request["tool_choice"])
    if "max_output_tokens" in request:
        chat["max_completion_tokens"] = request["max_output_tokens"]
    return chat | _output(child(request, "text"))


def _turns(items: object) -> list[JsonObject]:
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    turns: list[JsonObject] = []
    for item in objects(items):
        turn = _turn(item)
        # One assistant's message of the chat form is several items here.
        if _continues(turns, turn):
            turns[-1] = joined(turns[-1], turn)
        else:
            turns.append(turn)
    return turns


def _continues(turns: list[JsonObject], turn: JsonObject) -> bool:
    if not turns or turn.get("role") != "assistant" or turns[-1].get("role") != "assistant":
        return False
    # Two texts are two messages; calls follow a text, a text follows thoughts.
    return turns[-1].get("content") is None or turn.get("content") is None


def joined(turn: JsonObject, more: JsonObject) -> JsonObject:
    """Return two parts of one assistant's message as one."""
    thoughts = text(turn, "reasoning_content") + text(more, "reasoning_content")
    calls = [*turn.get("tool_calls", []), *more.get("tool_calls", [])]
    content = more.get("content") if turn.get("content") is None else turn["content"]
    kept = without(turn, "content", "reasoning_content", "tool_calls")
    added = without(more, "role", "content", "reasoning_content", "tool_calls")
    body = kept | added | {"content": content}
    return body | given(reasoning_content=thoughts or None, tool_calls=calls or None)


def _turn(item: JsonObject) -> JsonObject:
    kind = text(item, "type")
    if kind in {"", "message"}:
        return {"role": str(item.get("role", "user")), "content": _content(item.get("content"))}
    if kind in _OUTPUTS:
        content = _content(item.get("output"))
        return {"role": "tool", "tool_call_id": text(item, "call_id"), "content": content}
    return assistant_part(item) or {"role": "assistant", "content": [item]}


def assistant_part(item: JsonObject) -> JsonObject | None:
    """Return what an item adds to an assistant's message, None where the chat form has no place for it."""
    call_id = text(item, "call_id") or text(item, "id")
    added: JsonObject
    match item.get("type"):
        case "function_call":
            function = {"name": text(item, "name"), "arguments": text(item, "arguments")}
            added = {"tool_calls": [{"id": call_id, "type": "function", "function": function}]}
        case "custom_tool_call":
            custom = {"name": text(item, "name"), "input": text(item, "input")}
            added = {"tool_calls": [{"id": call_id, "type": "custom", "custom": custom}]}
        case "reasoning":
            parts = [*objects(item.get("summary")), *objects(item.get("content"))]
            added = given(reasoning_content="\n".join(text(part, "text") for part in parts) or None)
        case _:
            return None
    return {"role": "assistant", "content": None} | added


def _content(content: object) -> Any:
    """Return content as a text where it is one text, else as parts."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [_part(part) for part in objects(content)]
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _part(part: JsonObject) -> JsonObject:
    kind = text(part, "type")
    if kind in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal":
        return {"type": "refusal", "refusal": text(part, "refusal")}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": given(url=part["image_url"], detail=part.get("detail"))}
    return part


def _tool(tool: JsonObject) -> JsonObject:
    kind = text(tool, "type")
    if kind not in {"function", "custom"} or kind in tool:
        return tool
    return {"type": kind, kind: without(tool, "type")}


def _choice(choice: object) -> Any:
    kind = text(choice, "type") if isinstance(choice, dict) else ""
    if kind in {"function", "custom"} and isinstance(choice, dict) and "name" in choice:
        return {"type": kind, kind: {"name": choice["name"]}}
    return choice


def _output(wanted: JsonObject) -> JsonObject:
    form = child(wanted, "format")
    rest = without(wanted, "format", "verbosity")
    chat = given(text=rest or None, verbosity=wanted.get("verbosity"))
    if form.get("type") == "json_schema":
        chat["response_format"] = {"type": "json_schema", "json_schema": without(form, "type")}
    elif form.get("type", "text") != "text":
        chat["response_format"] = form
    return chat


def beyond(request: JsonObject) -> str:
    """Name what the request asks for that an answer cannot hold, "" where there is nothing."""
    for field in ("previous_response_id", "conversation", "background", "prompt"):
        if request.get(field):
            return field
    # The API keeps every response unless told not to, and the next call may name it by its id.
    if request.get("store") is not False:
        return "stored response"
    include = request.get("include")
    if request.get("top_logprobs") or (isinstance(include, list) and _LOGPROBS in include):
        return "logprobs asked for"
    kinds = {text(tool, "type") for tool in objects(request.get("tools"))}
    if kinds - {"function", "custom"}:
        return "built-in tool"
    if "custom" in kinds:
        return "tool without a schema"
    return "" if all(map(_is_text, objects(request.get("input")))) else MORE_THAN_TEXT


def _is_text(item: JsonObject) -> bool:
    parts = [*objects(item.get("content")), *objects(item.get("output"))]
    return text(item, "type") in _READ and all(text(part, "type") in _TEXTS for part in parts)


_LOGPROBS = "message.output_text.logprobs"
