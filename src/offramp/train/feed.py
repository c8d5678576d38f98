"""Training rows in batches, in an order that can be taken up again in the middle."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from offramp.train.augment import ValueSwaps
from offramp.train.batches import group, render_row
from offramp.train.distil import soft_targets
from offramp.train.optim import seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from transformers import PreTrainedTokenizerBase

    from offramp.core.model import Example
    from offramp.train.batches import Row
    from offramp.train.options import TrainOptions


class Feed:
    """Training rows, rendered anew each epoch because values are exchanged.

    Args:
        tokenizer: The base's.
        examples: The training examples.
        options: Budget of a batch, share of exchanges.
        context: Longest row in tokens.
        seed: Seed of order and exchanges.

    Attributes:
        left_out: Examples longer than the context.
        size: Examples that fit.
        told: Completion tokens of those whose teacher gave log-probabilities.
        mapped: Those of them onto which these could be mapped.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        options: TrainOptions,
        *,
        context: int,
        seed: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._options = options
        self._random = seeded(seed)
        self._plain, self.left_out = render_examples(tokenizer, examples, context)
        self._examples = examples
        self._swaps = ValueSwaps(examples)
        self._context = context
        self.size = len(self._plain)
        self.told = sum(len(row.completion) - 1 for row in self._plain if row.told)
        self.mapped = sum(len(row.soft) for row in self._plain)

    @property
    def random(self) -> Random:
        """The generator behind order and exchanges; its state at an epoch's start gives the epoch."""
        return self._random

    def epoch(self, done: int = 0) -> Iterator[list[Row]]:
        """Yield the batches of one pass in random order.

        Args:
            done: Batches at its start to pass over, because an earlier process had them.
        """
        rows = self._plain
        if self._options.swap_share > 0:
            fresh = [
                self._swaps.swap(example, self._random)
                if self._random.random() < self._options.swap_share
                else example
                for example in self._examples
            ]
            rows, _ = render_examples(self._tokenizer, fresh, self._context)
        groups = group(rows, self._options.batch_tokens)
        self._random.shuffle(groups)
        for members in islice(groups, done, None):
            yield [rows[index] for index in members]

    def batches(self) -> int:
        """Return the number of batches of one pass, near enough for a schedule."""
        return len(group(self._plain, self._options.batch_tokens))


def render_examples(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], context: int
) -> tuple[list[Row], int]:
    """Render examples; return the rows that fit the context, and how many did not."""
    rows = [_row(tokenizer, example) for example in examples]
    fitting = [row for row in rows if len(row) <= context]
    return fitting, len(rows) - len(fitting)


def _row(tokenizer: PreTrainedTokenizerBase, example: Example) -> Row:
    row = render_row(tokenizer, example.prompt, example.completion)
    if not example.told:
        return row
    return replace(row, soft=soft_targets(tokenizer, example.completion, example.told), told=True)
