"""Makes more of few examples by exchanging copied values."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from offramp.core.model import Example


class ValueSwaps:
    """Exchanges a value that is copied from the prompt for another value of the same argument.

    "wake me at six" with ``{"time":"six"}`` becomes "wake me at noon" with ``{"time":"noon"}``: the
    specialist learns where a value stands, not which values the training data happened to have.

    Args:
        examples: The training examples; their values are the pool.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        pool: dict[str, list[str]] = defaultdict(list)
        for example in examples:
            for key, value in _copied(example).items():
                pool[key].append(value)
        self._pool = dict(pool)

    def swap(self, example: Example, random: Random) -> Example:
        """Return the example with one or more copied values exchanged, unchanged where none can be."""
        copied = _copied(example)
        if not copied:
            return example
        name, _, _ = example.completion.partition("{")
        values = json.loads(example.completion[len(name) :])
        prompt = example.prompt
        for key, old in copied.items():
            new = random.choice(self._pool.get(key, [old]))
            # Each value must stay the only one of its text, or its place would be ambiguous.
            if _count(prompt, old) == 1 and new not in prompt:
                prompt = prompt[: prompt.index(old)] + new + prompt[prompt.index(old) + len(old) :]
                values[key] = new
        if any(isinstance(value, str) and value not in prompt for value in values.values()):
            return example
        body = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
        # What the teacher would have said instead was about the old values.
        return replace(example, prompt=prompt, completion=name + body, told=())


def _copied(example: Example) -> dict[str, str]:
    """Return the string arguments that stand in the prompt as whole words."""
    start = example.completion.find("{")
    if start < 0:
        return {}
    try:
        values = json.loads(example.completion[start:])
    except json.JSONDecodeError:
        return {}
    return {
        key: v for key, v in values.items() if isinstance(v, str) and v and _count(example.prompt, v) == 1
    }


def _count(text: str, value: str) -> int:
    """Count occurrences, any occurrence inside a longer word counting as a second one."""
    found, start = 0, text.find(value)
    while start >= 0:
        end = start + len(value)
        inside = (start > 0 and text[start - 1].isalnum() and value[0].isalnum()) or (
            end < len(text) and text[end].isalnum() and value[-1].isalnum()
        )
        found += 2 if inside else 1
        start = text.find(value, start + 1)
    return found
