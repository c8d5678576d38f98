"""One training run of an extractive student: batches in, the best weights by validation out."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from offramp.core.errors import EngineError
from offramp.core.json import digest
from offramp.train.extractive_optim import MasteredAdamW, Rates, has_bfloat16, triangle
from offramp.train.optim import seeded
from offramp.train.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from offramp.engine.extractive_model import ExtractiveModel
    from offramp.train.extractive_feed import ExtractiveOptions, Feed, Row
    from offramp.train.extractive_loss import Losses


class Validation(NamedTuple):
    """How the model did on validation rows.

    Attributes:
        loss: Mean of -log p(name, arguments), in nats. It rises again early, because answers that
            contradict each other are learned by heart; what the student says goes on improving.
        wrong: Share of rows that are not the teacher's answer; it decides which weights are kept.
    """

    loss: float
    wrong: float


class Run:
    """One training run and what it has seen so far.

    Args:
        model: What is trained.
        feed: Training rows.
        held_out: Validation rows.
        losses: What is minimised.
        options: How.
        on_progress: Told where the run stands.
    """

    def __init__(
        self,
        model: ExtractiveModel,
        feed: Feed,
        held_out: Sequence[Row],
        losses: tuple[Losses, Losses],
        options: ExtractiveOptions,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._model, self._feed, self._held_out, self._options = model, feed, held_out, options
        self._losses, self._validation = losses
        self._on_progress = on_progress
        # Kept whole, for rounding them would make another model than the one that is served.
        self._frozen = {n: w.detach() for n, w in model.named_parameters() if not w.requires_grad}
        if options.mixed and has_bfloat16():
            model.halve()
        rates = Rates(options.rate, options.layer_decay, options.head_rate, options.weight_decay)
        self._optimizer = MasteredAdamW(model, rates)
        self._steps = math.ceil(len(feed.rows) / options.rows) * options.epochs
        self._started, self._cpu, self._tokens = time.monotonic(), time.process_time(), 0
        self._best: dict[str, torch.Tensor] = {}
        self.loss, self.epochs, self.steps_done, self._without_gain = math.nan, 0, 0, 0
        self.best, self.curve = Validation(math.nan, math.inf), list[Validation]()
        self._identity = ""

    def fit(self, checkpoint: Path, lineage: str) -> None:
        """Train to the last epoch or until validation stops improving; leave the best weights in place.

        Args:
            checkpoint: Written after each epoch; where it is of the same calls and options, the run goes on
                from there.
            lineage: Hash of the calls.

        Raises:
            EngineError: The loss diverged.
        """
        self._identity = digest([lineage, asdict(self._options)])
        self._resume(checkpoint)
        while self.epochs < self._options.epochs and self._without_gain < self._options.patience:
            self.loss = self._epoch()
            self.epochs += 1
            found = self.validate()
            self.curve.append(found)
            # Of two that are wrong as often, the later one has learned longer at a smaller rate.
            if found.wrong <= self.best.wrong and math.isfinite(found.loss):
                self.best, self._without_gain = found, 0
                self._best = self._optimizer.weights()
            else:
                self._without_gain += 1
            self._save(checkpoint)
        if not self._best:
            raise _diverged(f"the validation loss is {self.curve[-1].loss}")
        self._model.float()
        self._model.load_state_dict({**self._frozen, **self._best})

    @torch.no_grad()
    def validate(self) -> Validation:
        """Judge the model on the validation rows."""
        self._model.eval()
        order = sorted(self._held_out, key=len)
        total, wrong = 0.0, 0
        for start in range(0, len(order), 4 * self._options.rows):
            rows = order[start : start + 4 * self._options.rows]
            judged = self._validation(self._model, rows)
            total, wrong = total + float(judged.loss) * len(rows), wrong + judged.wrong
        return Validation(total / len(order), wrong / len(order))

    def _epoch(self) -> float:
        self._model.train()
        # Every epoch has its own seed, so that a run that goes on after a kill does what it would have done.
        seed = self._options.seed * 1000 + self.epochs
        torch.manual_seed(seed)
        losses: list[float] = []
        for rows in self._feed.epoch(seeded(seed)):
            loss = self._losses(self._model, rows).loss
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _diverged(f"at step {self.steps_done + 1} the loss is {value}")
            torch.autograd.backward(loss)
            self._optimizer.step(triangle(self.steps_done, self._steps, self._options.warmup))
            self.steps_done += 1
            self._tokens += sum(map(len, rows))
            losses.append(value)
            if self.steps_done % 10 == 0:
                self._report(losses[-10:])
        self._report(losses[-10:])
        return sum(losses) / len(losses)

    def _save(self, path: Path) -> None:
        state = {
            "identity": self._identity,
            "optimizer": self._optimizer.state(),
            "best": self._best,
            "best_validation": tuple(self.best),
            "epochs": self.epochs,
            "steps": self.steps_done,
            "without_gain": self._without_gain,
            "curve": [tuple(each) for each in self.curve],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(path)

    def _resume(self, path: Path) -> None:
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["identity"] != self._identity:
            return
        self._optimizer.resume(state["optimizer"])
        self._best, self.best = state["best"], Validation(*state["best_validation"])
        self.curve = [Validation(*each) for each in state["curve"]]
        self.epochs, self.steps_done = state["epochs"], state["steps"]
        self._without_gain = state["without_gain"]

    def _report(self, losses: list[float]) -> None:
        spent = max(time.monotonic() - self._started, 1e-9)
        steps = max(self._steps, self.steps_done)
        self._on_progress(
            Progress(
                step=self.steps_done,
                steps=steps,
                epoch=self.epochs + 1,
                epochs=self._options.epochs,
                loss=sum(losses) / max(1, len(losses)),
                validation_loss=self.curve[-1].loss if self.curve else None,
                eta_seconds=spent / max(1, self.steps_done) * (steps - self.steps_done),
                tokens_per_second=self._tokens / spent,
                cpu_seconds=time.process_time() - self._cpu,
            )
        )


def _diverged(what: str) -> EngineError:
    return EngineError(f"Training diverged: {what}.", hint="Lower rate; a third of it is a good next try.")
