"""Chats that end with the answer: the form that OpenAI and most trainers take for fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.call import Call
from offramp.interchange.values import (
    completion,
    conversation_of,
    message_of,
    messages_in,
    time_in,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

_KEPT = (
    "model",
    "tools",
    "functions",
    "parallel_tool_calls",
    "response_format",
    "temperature",
    "user",
    "metadata",
)
_WRITTEN = ("tools", "functions", "parallel_tool_calls")
_TIMES = ("ts", "timestamp", "created_at", "time")


class Chat:
    """``{"messages": [..., the answer], "tools": [...]}``."""

    name = "chat"
    title = "OpenAI chat fine-tuning JSONL: messages that end with the answer"

    def recognises(self, row: JsonObject) -> bool:
        """See :class:`offramp.interchange.port.Format`."""
        return "messages" in row and "response" not in row

    def read(self, row: JsonObject, number: int) -> Iterator[Call]:
        """See :class:`offramp.interchange.port.Format`."""
        messages = messages_in(row["messages"], "messages")
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise TypeError("messages have to end with the assistant's answer")
        request = {key: row[key] for key in _KEPT if key in row} | {"messages": messages[:-1]}
        answer = {key: value for key, value in messages[-1].items() if key != "weight"}
        response = completion(answer)
        at = time_in(row, _TIMES)
        yield Call(
            id="",
            at=float(number) if at is None else at,
            session=str(row.get("session") or row.get("session_id") or ""),
            origin=str(row.get("user") or ""),
            request=request,
            response=response,
            usage=usage_of(None, None, request, response),
        )

    def write(self, call: Call) -> JsonObject:
        """See :class:`offramp.interchange.port.Format`.

        Raises:
            ValueError: The call has no messages, or no answer to learn from.
        """
        message = message_of(call.response)
        if message is None or call.status >= 400:
            raise ValueError("a failed call has no answer to learn from")
        answer = {key: value for key, value in message.items() if value is not None} | {"role": "assistant"}
        row = {key: call.request[key] for key in _WRITTEN if key in call.request}
        return {"messages": [*conversation_of(call), answer], **row}
