"""A task: a recurring subtask found in the traffic."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.core.call import OutputType


class Decision(enum.StrEnum):
    """What is to answer a task's calls."""

    KEEP_LLM = "keep_llm"
    SPECIALIST = "specialist"


@dataclass(frozen=True, slots=True)
class Task:
    """A recurring subtask, identified by its signature.

    Attributes:
        id: Stable id (``t-`` and a hash of the first signature seen).
        version: Hash of prompt template, tool schemas and response format; a change voids certificates.
        name: Readable name, made from the prompt and the tools.
        signature: What identifies the call site without reading its payload.
        output: Form of its answers.
        calls: Number of calls seen.
        share_calls: Share of all calls seen, 0 to 1.
        share_tokens: Share of all tokens seen, 0 to 1.
        sessions: Number of distinct sessions.
        convertible: Whether a specialist is worth trying.
        reason: Why, or why not.
        slug: Short unique name in lower case, letters, digits and hyphens; opens the prompts of a
            specialist that serves several tasks.
    """

    id: str
    version: str
    name: str
    signature: str
    output: OutputType
    calls: int
    share_calls: float
    share_tokens: float
    sessions: int
    convertible: bool
    reason: str
    slug: str = ""
