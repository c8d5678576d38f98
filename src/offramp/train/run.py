"""One training run: batches in, the best weights by validation out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict

from offramp.core.errors import EngineError
from offramp.train.augment import ValueSwaps
from offramp.train.batches import align, completion_loss, group, render_row
from offramp.train.optim import MuonAdamW, rate_factor, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.core.model import Example
    from offramp.train.batches import Row


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """How a specialist is trained; the defaults suit the bundled nano base.

    Attributes:
        rank: Rank of the adapter matrices; a narrow base needs a high one.
        alpha: Scale of the adapter is ``alpha / rank``.
        dropout: Dropout before the adapter.
        epochs: Passes over the examples.
        batch_tokens: Padded tokens per step.
        matrix_rate: Peak rate of Muon on the adapter matrices.
        swap_share: Share of examples whose copied values are exchanged for others of the same
            argument in each pass; 0 switches it off.
        patience: Stop after this many validations without improvement.
        context: Longest row in tokens; longer ones are left out and counted.
        threads: Threads that torch may use.
        seed: Seed of initial weights, order and exchanges.
    """

    rank: int = 64
    alpha: int = 64
    dropout: float = 0.0
    epochs: int = 5
    batch_tokens: int = 1024
    matrix_rate: float = 3e-3
    swap_share: float = 0.5
    patience: int = 2
    context: int = 512
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands.

    Attributes:
        step: Steps done.
        steps: Steps planned.
        loss: Mean training loss since the last report, nats per completion token.
        validation_loss: The last validation, None before the first.
        eta_seconds: Estimated wall-clock seconds to go.
        tokens_per_second: Tokens trained per wall-clock second.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float | None
    eta_seconds: float
    tokens_per_second: float


class Feed:
    """Training rows, rendered anew each epoch because values are exchanged."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        options: LoraOptions,
        context: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._options = options
        self._random = seeded(options.seed)
        self._plain, self.left_out = render_examples(tokenizer, examples, context)
        self._examples = examples
        self._swaps = ValueSwaps(examples)
        self._context = context
        self.size = len(self._plain)

    def epoch(self) -> Iterator[list[Row]]:
        """Yield the batches of one pass in random order."""
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
        for members in groups:
            yield [rows[index] for index in members]

    def batches(self) -> int:
        """Return the number of batches of one pass, near enough for a schedule."""
        return len(group(self._plain, self._options.batch_tokens))


class Run:
    """One training run and what it has seen so far."""

    def __init__(
        self,
        model: PeftModel,
        feed: Feed,
        held_out: Sequence[Row],
        options: LoraOptions,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._model, self._feed, self._held_out, self._options = model, feed, held_out, options
        self._on_progress = on_progress
        self._steps = feed.batches() * options.epochs
        self._optimizer = MuonAdamW(
            model.named_parameters(), matrix_rate=options.matrix_rate, other_rate=options.matrix_rate / 3
        )
        self._started = time.monotonic()
        self._tokens = 0
        self._best: dict[str, torch.Tensor] = {}
        self.best_loss, self.loss, self.epochs, self.steps_done = math.inf, math.nan, 0, 0
        self._validated: float | None = None

    def fit(self) -> None:
        """Train to the last epoch or until validation stops improving; leave the best weights in place."""
        without_gain = 0
        while self.epochs < self._options.epochs and without_gain <= self._options.patience - 1:
            self.loss = self._epoch()
            self.epochs += 1
            self._validated = validation_loss(self._model, self._held_out, self._options.batch_tokens * 4)
            if self._validated < self.best_loss:
                self.best_loss, without_gain = self._validated, 0
                state = get_peft_model_state_dict(self._model)
                self._best = {name: weight.detach().clone() for name, weight in state.items()}
            else:
                without_gain += 1
        if not self._best:
            raise EngineError(
                f"Training diverged: the validation loss is {self._validated}.",
                hint="Lower matrix_rate; a tenth of it is a good next try.",
            )
        set_peft_model_state_dict(self._model, self._best)

    def _epoch(self) -> float:
        self._model.train()
        losses: list[float] = []
        for rows in self._feed.epoch():
            batch = align(rows)
            loss = completion_loss(self._model, batch)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise EngineError(
                    f"Training diverged at step {self.steps_done + 1}: the loss is {value}.",
                    hint="Lower matrix_rate; a tenth of it is a good next try.",
                )
            torch.autograd.backward(loss)
            self._optimizer.step(rate_factor(self.steps_done, self._steps))
            self.steps_done += 1
            self._tokens += batch.tokens
            losses.append(value)
            if self.steps_done % 10 == 0:
                self._report(losses[-10:])
        self._report(losses[-10:])
        return sum(losses) / len(losses)

    def _report(self, losses: list[float]) -> None:
        spent = max(time.monotonic() - self._started, 1e-9)
        steps = max(self._steps, self.steps_done)
        self._on_progress(
            Progress(
                step=self.steps_done,
                steps=steps,
                loss=sum(losses) / max(1, len(losses)),
                validation_loss=self._validated,
                eta_seconds=spent / max(1, self.steps_done) * (steps - self.steps_done),
                tokens_per_second=self._tokens / spent,
            )
        )


@torch.no_grad()
def validation_loss(model: PreTrainedModel | PeftModel, rows: Sequence[Row], budget: int) -> float:
    """Return the mean loss per completion token over rows, dropout off."""
    model.eval()
    total, tokens = 0.0, 0
    for members in group(rows, budget):
        chosen = [rows[index] for index in members]
        count = sum(len(row.completion) for row in chosen)
        total += float(completion_loss(model, align(chosen))) * count
        tokens += count
    return total / tokens


def render_examples(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], context: int
) -> tuple[list[Row], int]:
    """Render examples; return the rows that fit the context, and how many did not."""
    rows = [render_row(tokenizer, example.prompt, example.completion) for example in examples]
    fitting = [row for row in rows if len(row) <= context]
    return fitting, len(rows) - len(fitting)
