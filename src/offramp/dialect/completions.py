"""OpenAI's old completions: a prompt is continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offramp.core.call import Dialect
from offramp.dialect.chat.stream import wants_usage
from offramp.dialect.codec import DONE, cut, encode, event, payloads
from offramp.dialect.fields import child, given, objects, text, without
from offramp.dialect.form import EVENTS, JSON, Folded, Form, broken, damaged, openai_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject


def _to_chat(request: JsonObject) -> JsonObject:
    """Make the prompt the user's message: a text, or parts where there are several prompts or tokens."""
    prompt = request.get("prompt")
    content: Any = prompt
    if isinstance(prompt, list):
        tokens = bool(prompt) and not isinstance(prompt[0], str | list)
        content = [_part(item) for item in ([prompt] if tokens else prompt)]
        content = prompt[0] if len(prompt) == 1 and isinstance(prompt[0], str) else content
    messages = [] if prompt is None else [{"role": "user", "content": content}]
    return without(request, "prompt") | {"messages": messages}


def _part(prompt: object) -> JsonObject:
    return (
        {"type": "text", "text": prompt} if isinstance(prompt, str) else {"type": "tokens", "tokens": prompt}
    )


def _chat_response(response: JsonObject) -> JsonObject:
    if isinstance(response.get("partial"), list):
        return response | {"partial": [_message(item) for item in objects(response["partial"])]}
    if not isinstance(response.get("choices"), list):
        return response
    choices = [_message(choice) for choice in objects(response["choices"])]
    return response | {"object": "chat.completion", "choices": choices}


def _message(choice: JsonObject) -> JsonObject:
    message = {"role": "assistant", "content": text(choice, "text")}
    return {
        "index": choice.get("index", 0),
        "message": message,
        "finish_reason": choice.get("finish_reason"),
    }


def _beyond(request: JsonObject) -> str:
    prompt = request.get("prompt")
    if isinstance(prompt, list) and (len(prompt) != 1 or not isinstance(prompt[0], str)):
        return "several prompts, or tokens"
    if request.get("n") not in (None, 1) or request.get("best_of") not in (None, 1):
        return "n > 1"
    # 0 asks for the probabilities of the chosen tokens.
    if request.get("logprobs") is not None:
        return "logprobs asked for"
    return next((field for field in ("echo", "suffix") if request.get(field)), "")


def _render(completion: JsonObject, request: JsonObject) -> tuple[bytes, bytes]:
    choices = objects(completion.get("choices"))
    head = without(completion, "choices", "usage") | {
        "id": "cmpl-" + text(completion, "id").removeprefix("chatcmpl-"),
        "object": "text_completion",
    }
    usage = completion.get("usage")
    if request.get("stream"):
        pieces = _pieces(head, choices, usage if wants_usage(request) else None)
        return EVENTS, b"".join((*map(event, pieces), DONE))
    whole = [_choice(choice, _said(choice), _finish(choice)) for choice in choices]
    return JSON, encode(head | {"choices": whole, "usage": usage})


def _pieces(head: JsonObject, choices: list[JsonObject], usage: Any) -> Iterator[JsonObject]:
    for choice in choices:
        *pieces, last = cut(_said(choice)) or [""]
        for piece in pieces:
            yield head | {"choices": [_choice(choice, piece, None)]}
        yield head | {"choices": [_choice(choice, last, _finish(choice))]}
    if usage:
        yield head | {"choices": [], "usage": usage}


def _choice(choice: JsonObject, said: str, finish: Any) -> JsonObject:
    return {"text": said, "index": choice.get("index", 0), "logprobs": None, "finish_reason": finish}


def _said(choice: JsonObject) -> str:
    return text(child(choice, "message"), "content")


def _finish(choice: JsonObject) -> Any:
    return "length" if choice.get("finish_reason") == "length" else "stop"


def _fold(stream: bytes) -> Folded:
    """Fold the event stream of one completion; one that breaks off gives an error body."""
    head: JsonObject = {}
    choices: dict[int, JsonObject] = {}
    usage = error = None
    for chunk in payloads(stream):
        if chunk is None:
            error = error or damaged()
        if not isinstance(chunk, dict):
            continue
        usage, error = chunk.get("usage") or usage, chunk.get("error") or error
        head = head or without(chunk, "choices", "usage", "error")
        for item in objects(chunk.get("choices")):
            _grow(choices, item)
    whole = [choice for _, choice in sorted(choices.items())]
    if error or not whole or not all(choice["finish_reason"] for choice in whole):
        return broken(whole, error, usage=usage)
    return Folded(head | {"choices": whole} | given(usage=usage), complete=True)


def _grow(choices: dict[int, JsonObject], item: JsonObject) -> None:
    index = item.get("index")
    place = index if isinstance(index, int) else 0
    choice = choices.setdefault(place, _choice(item | {"index": place}, "", None))
    choice["text"] += text(item, "text")
    choice["finish_reason"] = item.get("finish_reason") or choice["finish_reason"]


COMPLETIONS = Form(
    dialect=Dialect.COMPLETIONS,
    path="/completions",
    to_chat=_to_chat,
    chat_response=_chat_response,
    beyond=_beyond,
    render=_render,
    fold=_fold,
    error=openai_error,
)
"""``POST /v1/completions``."""
