"""How a first user message opens and closes: what tells apart several tasks behind one prompt.

A program that sends several kinds of work under one generic prompt ("You are a helpful assistant.") says in
the message which kind it is: "Translate to French: ...", or an instruction in a line of its own before or
after the payload. The key of such a line is a hash, so it costs a dictionary look-up on the request path.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from offramp.core.call import text_of
from offramp.discover.signature import hashed, skeleton

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

READ = 2_048
"""Characters read of a message, half from either end."""

MIN_WORDS = 2
"""Words of an instruction before a colon or in a line of its own: one word is a field's name ("Query:")."""

MAX_WORDS = 40
"""More words than this are payload."""


class Side(enum.StrEnum):
    """Where in the first user message an instruction stands."""

    HEAD = "head"
    TAIL = "tail"


def instruction_of(request: JsonObject, side: Side) -> int:
    """Hash the instruction on one side of the first user message, 0 where there is none."""
    opening = opening_of(request)
    return hashed_instruction(head_of(opening) if side is Side.HEAD else tail_of(opening))


def hashed_instruction(instruction: str) -> int:
    """Hash an instruction, 0 for none."""
    return hashed(instruction) if instruction else 0


def opening_of(request: JsonObject) -> str:
    """Return the first user message with its values masked, "" where there is none."""
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict) and message.get("role") == "user":
            return skeleton(text_of(message.get("content")), limit=READ)
    return ""


def head_of(opening: str) -> str:
    """Return the instruction that a masked message opens with, "" where it opens with its payload."""
    line, newline, rest = opening.partition("\n")
    if newline and rest.strip():
        return _instruction(line)
    head, colon, rest = opening.partition(":")
    return _instruction(head) if colon and rest.strip() else ""


def tail_of(opening: str) -> str:
    """Return the instruction that a masked message closes with, "" where it closes with its payload."""
    head, newline, line = opening.rpartition("\n")
    return _instruction(line) if newline and head.strip() else ""


def _instruction(line: str) -> str:
    return line.strip() if MIN_WORDS <= len(line.split()) <= MAX_WORDS else ""
