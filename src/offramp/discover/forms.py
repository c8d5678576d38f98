"""The form of an answer, as evidence when tasks are formed; never used to assign a call."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.call import Answer, decode_json
from offramp.core.json import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MIN_ANSWERS = 20
"""Answers before a prompt's form is taken as known: a coin shows one side 18 of 20 times with p 0.0002."""

PURE = 0.9
"""Share of answers of one form from which a call site is said to have it."""

MAX_LABEL = 64
"""Characters of a label at most; longer short answers are text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One answer's form.

    Attributes:
        kind: ``"tool"``, ``"tools"`` (several at once), ``"json:<keys>"``, ``"text"`` or ``"empty"``.
        value: The tool's name, the canonical JSON or the text where short enough to be a label, else "".
    """

    kind: str
    value: str


def shape_of(answer: Answer) -> Shape:
    """Read the form of an answer."""
    if answer.tool_calls:
        if len(answer.tool_calls) == 1 and not answer.text.strip():
            return Shape("tool", answer.tool_calls[0].name)
        return Shape("tools", "")
    text = answer.text.strip()
    if not text:
        return Shape("empty", "")
    decoded = decode_json(text) if text[0] == "{" else None
    if isinstance(decoded, dict):
        value = canonical(decoded)
        return Shape("json:" + ",".join(sorted(decoded)), value if _short(value) else "")
    return Shape("text", text if _short(text) else "")


def is_closed(values: Sequence[str]) -> bool:
    """Whether short answers come from a closed set.

    The chance that the next answer is a value not seen before is estimated as the share of values
    seen once (Good 1953, "The population frequencies of species"); closed means at most 5 %. Long
    answers are passed as "" and count as new.
    """
    if not values:
        return False
    seen = Counter(values)
    once = sum(1 for value, count in seen.items() if count == 1 and value) + seen[""]
    return once <= (1 - 0.95) * len(values)


def partition(shapes: Sequence[Sequence[Shape]]) -> list[int]:
    """Group prompts whose answers cannot come from one task.

    Two prompts are told apart by their answers where both gave enough of them, nearly all of one
    form each, and the forms differ: another kind of answer, other JSON keys, or closed sets of tools
    or labels without a common member.

    Args:
        shapes: The answers' forms of each prompt.

    Returns:
        A group number for each prompt; prompts with too few answers are in the largest group.
    """
    groups: list[tuple[str, set[str], list[int]]] = []
    for index, answers in enumerate(shapes):
        kind, values = evidence_of(answers)
        if not kind:
            continue
        same = [g for g in groups if g[0] == kind and (not g[1] or not values or g[1] & values)]
        merged = (kind, set(values), [index])
        for group in same:
            # An open set of values is compatible with any, and makes the union open.
            merged = (kind, merged[1] | group[1] if merged[1] and group[1] else set(), merged[2] + group[2])
            groups.remove(group)
        groups.append(merged)
    result = [0] * len(shapes)
    for number, (_, _, members) in enumerate(sorted(groups, key=lambda g: (-len(g[2]), min(g[2])))):
        for index in members:
            result[index] = number
    return result


def evidence_of(shapes: Sequence[Shape]) -> tuple[str, set[str]]:
    """Return the one form of a prompt's answers and its closed set of values, ("", {}) where unknown."""
    kind, count = _most_common(shape.kind for shape in shapes)
    if count < MIN_ANSWERS or count < PURE * len(shapes):
        return "", set()
    values = [shape.value for shape in shapes if shape.kind == kind]
    return kind, set(values) - {""} if is_closed(values) else set()


def _most_common(kinds: Iterable[str]) -> tuple[str, int]:
    counted = sorted(Counter(kinds).items(), key=lambda item: (-item[1], item[0]))
    return counted[0] if counted else ("", 0)


def _short(text: str) -> bool:
    return len(text) <= MAX_LABEL and "\n" not in text
