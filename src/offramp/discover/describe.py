"""Readable names for tasks, made from what is fixed in them; never from a payload."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offramp.discover.signature import SLOT

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WORDS = 10

_GENERIC_HEADING = re.compile(
    r"(?:(?:task|game|output|input|your|the)\s+)?"
    r"(?:description|task|instructions?|system|prompt|question|role|context|overview|rules?|goal|query|input)\W*",
    re.IGNORECASE,
)
_OPENERS = re.compile(
    r"(?:(?:please|now|always)\s+)?"
    r"(?:you\s+(?:are\s+given|are|act\s+as|handle|will\s+be|will|must|should|can|help(?:\s+me)?(?:\s+to)?)"
    r"|you|your\s+(?:task|job|goal|role)\s+is(?:\s+to)?|act\s+as|i\s+want\s+you\s+to|please)"
    r"\s+(?:(?:an?|the)\s+)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?:[!?:;]|(?<!e\.g)(?<!i\.e)\.)(?:\s|$)|,\s")
_STOPWORDS = re.compile(
    r"an?|and|are|as|at|be|by|can|for|from|given|has|in|is|it|me|my|of|on|or|so|that|the|their|them|then|this"
    r"|to|using|users?|was|what|which|will|with|you|your|who|whose"
)


def name_of(text: str, tools: Sequence[str]) -> str:
    """Make a name from a prompt's fixed text and the tools.

    Args:
        text: The prompt's skeleton or template, "" where there is none to show.
        tools: Names of the tools.

    Returns:
        A few words, e.g. ``"iot requests of a home assistant"``.
    """
    heading, sentence = _opening(text.replace("`", "").replace("*" * 2, ""))
    name = heading or _clause(_OPENERS.sub("", sentence, count=1) if _OPENERS.match(sentence) else sentence)
    if name:
        return name
    if tools:
        more = f" and {len(tools) - 1} more" if len(tools) > 1 else ""
        return f"calls of {tools[0]}{more}"
    return "repeated request"


def slug_of(name: str) -> str:
    """Return the first two telling words of a name, joined by a hyphen."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    telling = [word for word in words if not _STOPWORDS.fullmatch(word)] or words or ["task"]
    return "-".join(telling[:2])


def uniquely(
    names: Sequence[str], tools: Sequence[Sequence[str]], ids: Sequence[str]
) -> list[tuple[str, str]]:
    """Make names and slugs unique.

    The task seen first keeps the plain form, so a later task never renames an earlier one.

    Args:
        names: Names, in order of the tasks' first calls.
        tools: Each task's tool names.
        ids: Each task's id, which ends what would otherwise collide.

    Returns:
        ``(name, slug)`` of each.
    """
    result: list[tuple[str, str]] = []
    used: set[str] = set()
    for name, own, task in zip(names, tools, ids, strict=True):
        slug = slug_of(name)
        mark = task.removeprefix("t-")[:4]
        choices = (name, f"{name} ({', '.join(own[:2])})" if own else "", f"{name} [{mark}]")
        unique = next((c for c in choices if c and c not in used), f"{name} [{task}]")
        short = next(c for c in (slug, f"{slug}-{mark}", f"{slug}-{task}") if c not in used)
        used |= {unique, short}
        result.append((unique, short))
    return result


def _opening(text: str) -> tuple[str, str]:
    """Return a telling heading where the text opens with one, and the first sentence."""
    lines = [line.strip() for line in text.replace(SLOT, " ").split("\n")]
    sentence: list[str] = []
    for line in lines:
        if not line or not re.search(r"\w", line):
            if sentence:
                break
            continue
        marked = line.startswith("#")
        bare = line.strip("# \t")
        # A sentence may run over a line end; a line that starts anew is another one.
        if sentence and (marked or not line[0].islower()):
            break
        if marked or _GENERIC_HEADING.fullmatch(bare):
            if not _GENERIC_HEADING.fullmatch(bare):
                return _clause(bare), ""
            continue
        sentence.append(line.lstrip("-*[]()0123456789. "))
    return "", " ".join(sentence)


def _clause(text: str) -> str:
    """Cut a sentence at its first pause after three words, and at ten words."""
    end = len(text)
    for pause in _SENTENCE_END.finditer(text):
        if len(text[: pause.start()].split()) >= 3:
            end = pause.start()
            break
    words = text[:end].rstrip(" .,:;!?").split()
    cut = len(words) > MAX_WORDS
    words = words[:MAX_WORDS]
    while cut and words and _STOPWORDS.fullmatch(words[-1].lower()):
        words.pop()
    return " ".join(words)
