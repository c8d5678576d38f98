"""Traffic of small invented programs, for the tests of what discovery makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Call, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.json import JsonObject

TEAMS = ("sales", "legal", "care")


def request(prompt: str, payload: str, *tools: str) -> JsonObject:
    """Build a request of one user message, under a prompt where there is one."""
    messages = [{"role": "system", "content": prompt}] if prompt else []
    body: JsonObject = {"model": "m", "messages": [*messages, {"role": "user", "content": payload}]}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": t, "parameters": {}}} for t in tools]
    return body


def say(text: str) -> JsonObject:
    """Build an answer in words."""
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


def use(*tools: str) -> JsonObject:
    """Build an answer that calls tools."""
    calls = [{"type": "function", "function": {"name": tool, "arguments": "{}"}} for tool in tools]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}


def calls_of(pairs: Sequence[tuple[JsonObject, JsonObject]], *, start: int = 0) -> list[Call]:
    """Make recorded calls a second apart, each a session and an asker of its own."""
    return [
        Call(f"c{i:05d}", float(i), f"s{i}", f"o{i}", asked, answer, latency_s=0.5, usage=Usage(90, 10))
        for i, (asked, answer) in enumerate(pairs, start)
    ]


def sorting(prompt: str, count: int, *, start: int = 0) -> list[Call]:
    """Make calls of a label task under a prompt."""
    return calls_of(
        [(request(prompt, f"letter {start + i} asks {i}"), say(TEAMS[i % 3])) for i in range(count)],
        start=start,
    )
