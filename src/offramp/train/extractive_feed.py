"""Calls as rows of numbers, and batches of rows of like length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.askers import MIN_ORIGINS
from offramp.core.model import Example
from offramp.engine.extractive_model import tokenise
from offramp.train.augment import ValueSwaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from transformers import PreTrainedTokenizerBase

    from offramp.engine.extractive_model import Tokens
    from offramp.engine.extractive_schema import Choices
    from offramp.train.extractive_targets import Target, Tracer


@dataclass(frozen=True, slots=True)
class ExtractiveOptions:
    """How an extractive student is trained; the defaults suit all-MiniLM-L6-v2.

    Attributes:
        epochs: Passes over the calls, if validation does not stop it before.
        rows: Calls per step.
        frozen: Lowest layers of the encoder that are not trained.
        rate: Peak rate of AdamW for the top layer of the encoder.
        layer_decay: Factor of the rate from each layer to the one below.
        head_rate: Peak rate for the heads.
        weight_decay: Decay of matrices.
        warmup: Share of the steps in which the rate rises.
        dropout: Dropout before the heads.
        smoothing: Label smoothing of names.
        swap_share: Share of calls whose copied values are exchanged in each pass.
        patience: Stop after this many validations without improvement.
        context: Longest payload in tokens; calls with longer ones are left out and counted.
        mixed: Train in bfloat16 where the processor has units for it.
        threads: Threads that torch may use.
        seed: Seed of initial weights, order and exchanges.
        min_origins: Distinct askers whose calls must hold a label, a fixed value or the key of a JSON answer.
    """

    epochs: int = 3
    rows: int = 64
    frozen: int = 1
    rate: float = 3e-4
    layer_decay: float = 0.85
    head_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float = 0.2
    smoothing: float = 0.0
    swap_share: float = 0.0
    patience: int = 3
    context: int = 256
    mixed: bool = True
    threads: int = 1
    seed: int = 0
    min_origins: int = MIN_ORIGINS


@dataclass(frozen=True, slots=True)
class Lesson:
    """One call to learn from.

    Attributes:
        id: The call's id.
        completion: The teacher's answer.
        choices: What may be said to it.
    """

    id: str
    completion: str
    choices: Choices


@dataclass(frozen=True, slots=True)
class Row:
    """A lesson as numbers."""

    tokens: Tokens
    choices: Choices
    target: Target

    def __len__(self) -> int:
        return len(self.tokens)


class Feed:
    """Rows of lessons, rendered anew for each pass where values are exchanged.

    Args:
        lessons: What is learned from.
        tokenizer: The encoder's.
        tracer: Finds out where values stand.
        options: How it is trained.
    """

    def __init__(
        self,
        lessons: Sequence[Lesson],
        tokenizer: PreTrainedTokenizerBase,
        tracer: Tracer,
        options: ExtractiveOptions,
    ) -> None:
        self._lessons, self._tokenizer, self._tracer, self._options = lessons, tokenizer, tracer, options
        self._swaps = ValueSwaps([_example(lesson) for lesson in lessons]) if options.swap_share else None
        self.rows = self._render(lessons)

    @property
    def left_out(self) -> int:
        """Lessons that are too long, or whose answer the schema has no words for."""
        return len(self._lessons) - len(self.rows)

    def epoch(self, random: Random) -> Iterator[list[Row]]:
        """Yield the batches of one pass in random order; rows of a batch are of like length."""
        rows = self._render(self._swapped(random)) if self._swaps else self.rows
        # A little noise, or the same rows would always meet.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]) + 2 * random.random())
        size = self._options.rows
        starts = list(range(0, len(order), size))
        random.shuffle(starts)
        for start in starts:
            yield [rows[index] for index in order[start : start + size]]

    def _swapped(self, random: Random) -> list[Lesson]:
        assert self._swaps is not None
        swapped = []
        for lesson in self._lessons:
            if random.random() >= self._options.swap_share:
                swapped.append(lesson)
                continue
            example = self._swaps.swap(_example(lesson), random)
            choices = replace(lesson.choices, payload=example.prompt)
            swapped.append(Lesson(lesson.id, example.completion, choices))
        return swapped

    def _render(self, lessons: Sequence[Lesson]) -> list[Row]:
        rows = []
        tokens = tokenise(self._tokenizer, [lesson.choices.payload for lesson in lessons])
        for lesson, read in zip(lessons, tokens, strict=True):
            target = self._tracer.target(lesson.completion, lesson.choices.payload, read)
            if target is not None and len(read) <= self._options.context:
                rows.append(Row(read, lesson.choices, target))
        return rows


def _example(lesson: Lesson) -> Example:
    return Example(lesson.id, lesson.choices.payload, lesson.completion)
