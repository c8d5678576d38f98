"""What all training methods have in common: rows, seeds, checkpoints, the directory that is left."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from offramp.core.errors import BadInput
from offramp.core.json import digest
from offramp.engine.bases import revision_of
from offramp.train.card import Origin, write_card
from offramp.train.checkpoint import SUFFIX, CheckpointFile
from offramp.train.feed import Feed, render_examples
from offramp.train.guard import Diverged
from offramp.train.result import TrainResult
from offramp.train.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.core.model import Example
    from offramp.train.checkpoint import Standing, Weights
    from offramp.train.options import TrainOptions
    from offramp.train.progress import Progress

    Show = Callable[[Progress], None]


class Method(Protocol):
    """One way to make a specialist's weights out of a base."""

    @property
    def name(self) -> str:
        """Its name, as the result gives it."""
        ...

    def prepare(self, base: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the base and make those weights trainable that the method trains.

        Raises:
            EngineError: The base cannot be loaded.
        """
        ...

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Write the trained weights in Hugging Face form."""
        ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is learned from.

    Attributes:
        train: Training examples.
        validation: Examples that choose the weights.
    """

    train: Sequence[Example]
    validation: Sequence[Example]

    @property
    def lineage(self) -> str:
        """Hash over all examples, in order."""
        return digest([[e.call_id, e.prompt, e.completion] for e in (*self.train, *self.validation)])


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: a method, what it learns from, and where.

    Attributes:
        method: The method.
        pairs: What is learned from.
        base: Directory or hub name of the base.
        out: Where the result goes.
        options: How to train.
        on_progress: Told how it goes.
    """

    method: Method
    pairs: Pairs
    base: Path | str
    out: Path
    options: TrainOptions
    on_progress: Show

    @property
    def work(self) -> Path:
        """Folder of the checkpoints, until the job is done."""
        return self.out.with_name(self.out.name + SUFFIX)


@dataclass(frozen=True, slots=True)
class Trained:
    """What one seed came to.

    Attributes:
        seed: The seed.
        model: The model, its best weights in place.
        tokenizer: Its tokenizer.
        standing: How the run went.
        best: Its best weights.
        feed: What it was trained on.
        left_out: Examples (training and validation) longer than the context.
    """

    seed: int
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    standing: Standing
    best: Weights
    feed: Feed
    left_out: int


def fit(job: Job) -> TrainResult:
    """Train and write the result to ``job.out``, replacing what is there in one move.

    The loss counts completion tokens only. After every epoch the validation loss decides which weights are
    kept and when to stop early. Until it is done, ``job.work`` holds what a job with the same arguments needs
    to go on after a kill; one with other arguments starts anew.

    Raises:
        BadInput: No example fits the context, in training or in validation.
        EngineError: The base cannot be loaded, or the loss diverged twice.
    """
    torch.set_num_threads(job.options.threads)
    first = job.options.seed
    winner = train_seed(job, first)
    losses, cpu_seconds = {first: winner.standing.best_loss}, winner.standing.cpu_seconds
    for seed in range(first + 1, first + job.options.seeds):
        other = train_seed(job, seed)
        losses[seed] = other.standing.best_loss
        cpu_seconds += other.standing.cpu_seconds
        winner = min(winner, other, key=lambda one: one.standing.best_loss)
    result = _result(job, winner, losses, cpu_seconds)
    write(job, winner.model, winner.tokenizer, result)
    shutil.rmtree(job.work, ignore_errors=True)
    return result


def train_seed(job: Job, seed: int) -> Trained:
    """Train with one seed, or go on where a killed process stopped.

    Raises:
        BadInput: No example fits the context, in training or in validation.
        EngineError: The base cannot be loaded, or the loss diverged twice.
    """
    torch.manual_seed(seed)
    model, tokenizer = job.method.prepare(job.base)
    context = min(job.options.context, int(model.config.max_position_embeddings))
    feed = Feed(tokenizer, job.pairs.train, job.options, context=context, seed=seed)
    held_out, held_left_out = render_examples(tokenizer, job.pairs.validation, context)
    if not feed.size or not held_out:
        raise BadInput(
            f"Training needs examples of at most {context} tokens; {feed.size} of {len(job.pairs.train)} "
            f"training and {len(held_out)} of {len(job.pairs.validation)} validation examples are."
        )
    file = CheckpointFile(job.work / f"{seed}.pt", _key(job, model, seed))
    run = Run(model, feed, held_out, job.options, file, job.on_progress)
    try:
        run.fit()
    except Diverged:
        # What led here is of no use to a next run, which has other arguments.
        shutil.rmtree(job.work, ignore_errors=True)
        raise
    left_out = feed.left_out + held_left_out
    return Trained(seed, model, tokenizer, run.standing, run.best, feed, left_out)


def _key(job: Job, model: PreTrainedModel, seed: int) -> str:
    """Hash all that the weights depend on."""
    options = asdict(job.options) | {"seed": seed, "seeds": 1, "checkpoint_seconds": 0}
    return digest([job.method.name, options, job.pairs.lineage, revision_of(job.base, model)])


def _result(job: Job, winner: Trained, losses: dict[int, float], cpu_seconds: float) -> TrainResult:
    standing = winner.standing
    return TrainResult(
        path=job.out,
        method=job.method.name,
        loss=standing.history[-1][0],
        validation_loss=standing.best_loss,
        history=tuple(standing.history),
        epochs=standing.epoch,
        steps=standing.steps,
        tokens=standing.tokens,
        examples=winner.feed.size,
        left_out=winner.left_out,
        cpu_seconds=cpu_seconds,
        lineage=job.pairs.lineage,
        seed=winner.seed,
        seeds=losses,
        told=winner.feed.told,
        mapped=winner.feed.mapped,
        resumed=standing.resumed,
        notes=tuple(standing.notes),
    )


def write(job: Job, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, result: TrainResult) -> None:
    """Write beside the target, then move: a job that is broken off leaves nothing half-written."""
    out = job.out
    out.parent.mkdir(parents=True, exist_ok=True)
    origin = Origin.of(job.pairs.train, job.pairs.validation, job.base, revision_of(job.base, model))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "new"
        job.method.write(model, tokenizer, fresh)
        write_card(fresh, result, origin, asdict(job.options))
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)
