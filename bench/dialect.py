"""What it costs to read a call: CPU microseconds per exchange, by dialect, size and streaming.

    python bench/dialect.py

An answer of about 1 KB (whole, or an event a word) on a request of 2 KB or 32 KB goes through
``record.parse.Parser`` as in the recorder process: decompression, fold, translation into chat form,
pseudonyms, session. Masking is measured by ``bench/redact.py`` and stands aside here. The best of 15 rounds
counts, by the process's own clock: neighbours make a round slower, never faster.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from offramp.core.call import Answer, Dialect, ToolCall
from offramp.dialect import completion_of, form_of
from offramp.dialect.codec import decode, event, events
from offramp.record.exchange import Exchange
from offramp.record.parse import Parser

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, CALLS = 15, 100
SIZES = (2_000, 32_000)
DIALECTS = (Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES)
WORDS = "The next train to Zürich leaves at nine; shall I book two seats by the window for you? "
SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}, "seats": {"type": "integer"}}}


@dataclass(frozen=True, slots=True)
class Unmasked:
    """Stands for the redactor."""

    value: Any
    counts: dict[str, int] = field(default_factory=dict)


def main() -> None:
    """Measure and print one table."""
    build = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    print(f"{build}; microseconds of CPU per call")
    print(f"{'dialect':12} {'request':>8} {'whole':>8} {'stream':>8} {'events':>8} {'per event':>10}")
    for dialect in DIALECTS:
        for size in SIZES:
            request = body_of(dialect, size)
            whole, stream = answers(dialect, request)
            parser = Parser(Unmasked, b"k" * 32)
            plain = cost(lambda: parser.parse(Exchange(request, whole, 0.0, dialect=dialect)))  # noqa: B023 - called at once
            events = Exchange(
                request, stream, 0.0, dialect=dialect, stream=True, content_type="text/event-stream"
            )
            streamed = cost(lambda: parser.parse(events))  # noqa: B023 - called at once
            count = stream.count(b"data: ")
            times = f"{plain:8.0f} {streamed:8.0f} {count:8} {(streamed - plain) / count:10.1f}"
            print(f"{dialect:12} {len(request):8} {times}")


def body_of(dialect: Dialect, size: int) -> bytes:
    """Make an agent's request of about ``size`` bytes: a prompt, tools, turns with tool calls."""
    turns: list[tuple[str, int]] = []
    body = b""
    while len(body) < size:
        turns.append((WORDS * 2, len(turns)))
        body = orjson.dumps(BUILDERS[dialect](turns))
    return body


def _chat(turns: list[tuple[str, int]]) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": WORDS * 4}]
    for said, number in turns:
        call = {"id": f"call_{number}", "type": "function"}
        function = {"name": "book", "arguments": f'{{"to":"Oslo","seats":{number}}}'}
        messages += [
            {"role": "user", "content": said},
            {"role": "assistant", "content": None, "tool_calls": [call | {"function": function}]},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": WORDS},
        ]
    tools = [{"type": "function", "function": {"name": "book", "parameters": SCHEMA}}]
    return {"model": "m", "messages": messages, "tools": tools, "user": "jane"}


def _responses(turns: list[tuple[str, int]]) -> dict[str, Any]:
    items: list[Any] = []
    for said, number in turns:
        call = {"call_id": f"call_{number}", "name": "book", "arguments": f'{{"to":"Oslo","seats":{number}}}'}
        items += [
            {"role": "user", "content": [{"type": "input_text", "text": said}]},
            {"type": "function_call", **call},
            {"type": "function_call_output", "call_id": f"call_{number}", "output": WORDS},
        ]
    tools = [{"type": "function", "name": "book", "parameters": SCHEMA}]
    return {"model": "m", "instructions": WORDS * 4, "input": items, "tools": tools, "user": "jane"}


def _messages(turns: list[tuple[str, int]]) -> dict[str, Any]:
    messages: list[Any] = []
    for said, number in turns:
        use = {
            "type": "tool_use",
            "id": f"t_{number}",
            "name": "book",
            "input": {"to": "Oslo", "seats": number},
        }
        messages += [
            {"role": "user", "content": said},
            {"role": "assistant", "content": [use]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": f"t_{number}", "content": WORDS}],
            },
        ]
    tools = [{"name": "book", "input_schema": SCHEMA}]
    metadata = {"user_id": "jane"}
    return {"model": "m", "system": WORDS * 4, "messages": messages, "tools": tools, "metadata": metadata}


BUILDERS: dict[Dialect, Callable[[list[tuple[str, int]]], dict[str, Any]]] = {
    Dialect.CHAT: _chat,
    Dialect.RESPONSES: _responses,
    Dialect.MESSAGES: _messages,
}


def answers(dialect: Dialect, body: bytes) -> tuple[bytes, bytes]:
    """Return an answer whole and as a provider streams it."""
    form, request = form_of(dialect), orjson.loads(body)
    answer = Answer(WORDS * 11, (ToolCall("book", {"to": "Oslo", "seats": 2}),))
    completion = completion_of(answer, form.to_chat(request), created=1.7e9)
    whole = form.render(completion, request)[1]
    stream = form.render(completion, request | {"stream": True})[1]
    return whole, _spread(stream)


def _spread(stream: bytes) -> bytes:
    """Cut the pieces of text further, to a word each, as models speak in tokens."""
    made: list[bytes] = []
    for data in events(stream):
        item = decode(data)
        holder, name = _said(item) if isinstance(item, dict) else ({}, "")
        if not holder.get(name):
            made.append(b"data: " + data + b"\n\n")
            continue
        for word in holder[name].split(" ")[:-1]:
            holder[name] = word + " "
            made.append(event(item))
    return b"".join(made)


def _said(item: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the object that holds an event's piece of text, and under which name."""
    if item.get("type") == "response.output_text.delta":
        return item, "delta"
    if item.get("type") == "content_block_delta":
        return item["delta"], "text"
    return (item["choices"][0]["delta"], "content") if item.get("choices") else ({}, "")


def cost(run: Callable[[], object]) -> float:
    """Return the CPU microseconds of one run: the best round's mean."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(CALLS):
            run()
        best = min(best, (time.process_time() - begun) / CALLS)
    return best * 1e6


if __name__ == "__main__":
    main()
