"""Models and what passes between a stage and an engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TeacherToken:
    """One token of an answer, and what else the teacher might have said there.

    Attributes:
        text: The token's text.
        alternatives: Texts of the most likely tokens with their natural-log probabilities, the token's own
            among them.
    """

    text: str
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One training pair, rendered the same way in training and in serving.

    Attributes:
        call_id: The call it was made from (lineage).
        prompt: The variable part of the request; static prompt text is left out.
        completion: The teacher's answer in compact form.
        told: The answer's tokens as the teacher gave them; none where it gave no log-probabilities.
    """

    call_id: str
    prompt: str
    completion: str
    told: tuple[TeacherToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolShape:
    """What constrained decoding has to know of one tool: its name and its argument names."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an engine may generate: exactly one tool call, or one flat JSON object.

    Attributes:
        tools: The allowed tools. The completion reads ``name {"arg":"value",...}``. A single tool
            with the empty name stands for a JSON object: the completion reads ``{"key":"value",...}``.
        copy_from: Where given, every string value is a substring of this text.
    """

    tools: tuple[ToolShape, ...]
    copy_from: str | None = None


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One prompt for one adapter on the engine's base."""

    adapter: str
    prompt: str
    constraint: Constraint | None = None
    max_tokens: int = 96


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine generated.

    Attributes:
        text: The completion without special tokens.
        logprobs: Natural-log probability of each generated token under the constraint (forced
            tokens 0.0), aligned with ``pieces``.
        pieces: The text of each generated token.
        finished: False where the token limit cut it.
    """

    text: str
    logprobs: tuple[float, ...]
    pieces: tuple[str, ...]
    finished: bool
