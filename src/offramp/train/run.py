"""One training run: batches in, the best weights by validation out."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from offramp.train.batches import align, completion_loss, group
from offramp.train.checkpoint import Checkpoint, Standing
from offramp.train.guard import Diverged, LossGuard, diverged
from offramp.train.optim import MuonAdamW, rate_factor
from offramp.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

    from offramp.train.batches import Row
    from offramp.train.checkpoint import CheckpointFile, Weights
    from offramp.train.feed import Feed
    from offramp.train.options import TrainOptions

CALMER = 0.3
"""Factor on all rates after a divergence."""


class Run:
    """One training run and what it has seen so far.

    Every random draw and every sum of a run depends on its checkpoint alone: on one thread, a run that was
    killed and taken up again ends with the very weights of one that was not.

    Args:
        model: The model; what needs a gradient is trained.
        feed: The training rows.
        held_out: The validation rows.
        options: How to train.
        file: Where checkpoints go.
        on_progress: Told how it goes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        feed: Feed,
        held_out: Sequence[Row],
        options: TrainOptions,
        file: CheckpointFile,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._model, self._feed, self._held_out, self._options = model, feed, held_out, options
        self._file, self._on_progress = file, on_progress
        self._steps = feed.batches() * options.epochs
        self._start = trained_weights(model)
        self._best: Weights = {}
        self._guard = LossGuard()
        self._order = feed.random.getstate()
        self._begun = (time.monotonic(), time.process_time())
        self._saved = time.monotonic()
        self._here = (0, 0)
        self.standing = Standing()
        self._optimizer = self._fresh_optimizer()

    @property
    def best(self) -> Weights:
        """The weights with the lowest validation loss."""
        return self._best

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds spent, in all processes that worked on it."""
        return self.standing.cpu_seconds + time.process_time() - self._begun[1]

    def fit(self) -> None:
        """Train to the last epoch or until validation stops improving; leave the best weights in place.

        Raises:
            Diverged: It did, at a lower rate as well, before any validation.
        """
        self._take_up()
        standing, options = self.standing, self._options
        while not standing.finished:
            try:
                trained = self._epoch()
                self._judge(trained)
                standing.finished = (
                    standing.epoch >= options.epochs or standing.without_gain >= options.patience
                )
            except Diverged as reason:
                self._recover(reason)
            self._save()
        put_weights(self._model, self._best)

    def _take_up(self) -> None:
        """Go on from the checkpoint, where there is one."""
        found = self._file.load()
        if found is None:
            return
        put_weights(self._model, found.weights)
        self.standing, self._best = found.standing, found.best
        self._optimizer = self._fresh_optimizer()
        self._optimizer.restore(found.optimizer)
        self._order = _as_state(found.order)
        self._feed.random.setstate(self._order)
        torch.set_rng_state(found.torch_random)
        self._guard.restore(found.guard)
        self._here = (self.standing.steps, self.standing.tokens)
        if self.standing.finished:
            return
        self.standing.resumed += 1
        self._tell(f"taken up again at step {self.standing.steps}")

    def _epoch(self) -> float:
        """Train to the end of the epoch in progress; return its mean loss."""
        standing = self.standing
        self._model.train()
        for rows in self._feed.epoch(standing.batch):
            batch = align(rows)
            loss = completion_loss(self._model, batch, self._options.distil)
            torch.autograd.backward(loss)
            value = float(loss.detach())
            norm = self._optimizer.step(rate_factor(standing.steps, self._steps))
            standing.steps += 1
            standing.batch += 1
            standing.tokens += batch.tokens
            self._guard.watch(standing.steps, value, norm)
            standing.losses.append(value)
            if standing.steps % 10 == 0:
                self._report()
            if time.monotonic() - self._saved >= self._options.checkpoint_seconds:
                self._save()
        return sum(standing.losses) / len(standing.losses)

    def _judge(self, trained: float) -> None:
        """Validate at the end of an epoch and keep the weights if they are the best."""
        standing = self.standing
        validated = validation_loss(self._model, self._held_out, self._options.batch_tokens * 4)
        if not math.isfinite(validated):
            raise diverged(f"in epoch {standing.epoch + 1}: the validation loss is {validated}")
        if validated < standing.best_loss:
            standing.best_loss, standing.without_gain = validated, 0
            self._best = trained_weights(self._model)
        else:
            standing.without_gain += 1
        standing.history.append((trained, validated))
        self._report()
        standing.epoch += 1
        self._next_epoch()

    def _next_epoch(self) -> None:
        self.standing.batch, self.standing.losses = 0, []
        self._order = self._feed.random.getstate()

    def _recover(self, reason: Diverged) -> None:
        """Go back to the best weights, or to the first; the second time, be content with the best."""
        standing = self.standing
        again = standing.rate_scale < 1.0
        if again and not self._best:
            raise reason
        put_weights(self._model, self._best or self._start)
        back = "the best weights so far" if self._best else "the start"
        if again:
            standing.finished = True
            self._tell(f"{reason.message} Once was enough: it ends with {back}.")
            return
        standing.rate_scale = CALMER
        self._optimizer = self._fresh_optimizer()
        self._guard = LossGuard()
        self._next_epoch()
        self._tell(f"{reason.message} It goes on from {back} at {CALMER:g} times the rate.")

    def _fresh_optimizer(self) -> MuonAdamW:
        rate = self._options.matrix_rate * self.standing.rate_scale
        return MuonAdamW(self._model.named_parameters(), matrix_rate=rate, other_rate=rate / 3)

    def _save(self) -> None:
        now = (time.monotonic(), time.process_time())
        self.standing.cpu_seconds += now[1] - self._begun[1]
        self._begun = (self._begun[0], now[1])
        self._file.save(
            Checkpoint(
                standing=self.standing,
                weights=trained_weights(self._model),
                best=self._best,
                optimizer=self._optimizer.state(),
                order=self._order,
                torch_random=torch.get_rng_state(),
                guard=self._guard.state(),
            )
        )
        self._saved = time.monotonic()

    def _tell(self, note: str) -> None:
        self.standing.notes.append(note)
        self._report(note)

    def _report(self, note: str = "") -> None:
        standing = self.standing
        spent = max(time.monotonic() - self._begun[0], 1e-9)
        steps, here = max(self._steps, standing.steps), standing.steps - self._here[0]
        losses = standing.losses[-10:]
        self._on_progress(
            Progress(
                step=standing.steps,
                steps=steps,
                epoch=min(standing.epoch + 1, self._options.epochs),
                epochs=self._options.epochs,
                loss=sum(losses) / len(losses) if losses else math.nan,
                validation_loss=standing.history[-1][1] if standing.history else None,
                eta_seconds=spent / max(1, here) * (steps - standing.steps),
                tokens_per_second=(standing.tokens - self._here[1]) / spent,
                cpu_seconds=self.cpu_seconds,
                note=note,
            )
        )


@torch.no_grad()
def validation_loss(model: PreTrainedModel, rows: Sequence[Row], budget: int) -> float:
    """Return the mean loss per completion token over rows, dropout off."""
    model.eval()
    total, tokens = 0.0, 0
    for members in group(rows, budget):
        chosen = [rows[index] for index in members]
        count = sum(len(row.completion) for row in chosen)
        total += float(completion_loss(model, align(chosen))) * count
        tokens += count
    return total / tokens


def trained_weights(model: torch.nn.Module) -> Weights:
    """Return copies of the weights that are trained, by name."""
    return {
        name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad
    }


@torch.no_grad()
def put_weights(model: torch.nn.Module, weights: Weights) -> None:
    """Put weights that `trained_weights` returned in their places."""
    places = dict(model.named_parameters())
    for name, weight in weights.items():
        places[name].copy_(weight)


def _as_state(order: Sequence[object]) -> tuple[object, ...]:
    """Make what was read from a file the state of a generator again: tuples all the way."""
    version, numbers, gauss = order
    return (version, tuple(numbers), gauss)  # type: ignore[arg-type]  # a state's second part is numbers
