from __future__ import annotations

from dataclasses import dataclass

import pytest

from offramp.core.model import Example
from offramp.train.options import LoraOptions

_WORDS = ["gorp", "blim", "tarn", "oslo", "friday", "seven", "red fox", "lute", "marn", "kest"]
_VERBS = ["take", "drop", "move", "find", "hide"]


@dataclass(frozen=True)
class Toy:
    """A task small enough to be learned in seconds: one tool a verb, one copied argument."""

    examples: tuple[Example, ...]
    options: LoraOptions

    @property
    def train(self) -> list[Example]:
        return [example for index, example in enumerate(self.examples) if index % 5]

    @property
    def validation(self) -> list[Example]:
        return list(self.examples[::5])


@pytest.fixture(scope="session")
def toy() -> Toy:
    examples = tuple(
        Example(f"{index}{word}", f"zed: {verb} the {word}", f'zed_{verb} {{"thing":"{word}"}}')
        for index, verb in enumerate(_VERBS)
        for word in _WORDS
    )
    return Toy(examples, LoraOptions(rank=16, alpha=16, epochs=2, batch_tokens=512))
