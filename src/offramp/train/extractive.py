"""Trains an extractive student: a pretrained encoder that names tools and points at their arguments."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from offramp.core.errors import BadInput
from offramp.core.json import digest
from offramp.engine.extractive_experience import Experience, form_of
from offramp.engine.extractive_model import ExtractiveModel, load_encoder
from offramp.engine.extractive_schema import Limits
from offramp.engine.extractive_student import Student
from offramp.engine.specialist import TaskRequest
from offramp.train.extractive_feed import ExtractiveOptions, Feed, Lesson
from offramp.train.extractive_loss import Losses
from offramp.train.extractive_run import Run
from offramp.train.extractive_targets import Tracer, said, schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject
    from offramp.engine.extractive_schema import Schema
    from offramp.engine.specialist import Card, TaskCard
    from offramp.train.extractive_run import Validation
    from offramp.train.progress import Progress

__all__ = ["ExtractiveOptions", "ExtractiveResult", "experience_of", "train_extractive"]

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class ExtractiveResult:
    """A trained student.

    Attributes:
        student: The student, with the weights that validation liked best.
        loss: Training loss of the last epoch, nats per call.
        validation: How the weights that were kept do on validation calls.
        curve: The same after each epoch.
        steps: Optimizer steps run.
        examples: Training calls used.
        left_out: Calls (training and validation) that are too long or cannot be said.
        cpu_seconds: Process CPU time spent.
        lineage: Hash over all examples, in order.
    """

    student: Student
    loss: float
    validation: Validation
    curve: tuple[Validation, ...]
    steps: int
    examples: int
    left_out: int
    cpu_seconds: float
    lineage: str

    @property
    def figures(self) -> JsonObject:
        """The run's figures, for the card."""
        return {
            "loss": self.loss,
            "validation_loss": self.validation.loss,
            "validation_wrong": self.validation.wrong,
            "epochs": len(self.curve),
            "steps": self.steps,
            "examples": self.examples,
            "left_out": self.left_out,
            "cpu_seconds": self.cpu_seconds,
            "lineage": self.lineage,
        }


def train_extractive(
    parts: tuple[Sequence[Item], Sequence[Item]],
    cards: Mapping[str, TaskCard],
    *,
    encoder: Path,
    out: Path,
    options: ExtractiveOptions,
    on_progress: Callable[[Progress], None],
) -> ExtractiveResult:
    """Train one student for the tasks of some calls and write it to ``out`` in one move.

    After every epoch the run is saved beside ``out``; a run that was killed goes on from there.

    Args:
        parts: Training calls, whose answers have one form, and validation calls, which decide which
            epoch's weights are kept and when to stop.
        cards: What is known of each task.
        encoder: Hugging Face directory of a BERT-like encoder.
        out: Folder of the student.
        options: How.
        on_progress: Told where the run stands.

    Raises:
        BadInput: No training or no validation call can be learned from.
        EngineError: The encoder cannot be loaded, or the loss diverged.
    """
    started = time.process_time()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    network, tokenizer = load_encoder(encoder)
    schema = schema_of(parts[0], cards[parts[0][0].task].output, options.min_origins)
    feed, held_out = _feeds(parts, cards, schema, tokenizer, options)
    model = ExtractiveModel(network, schema, frozen=options.frozen, dropout=options.dropout)
    losses = (Losses(schema, options.smoothing), Losses(schema))
    run = Run(model, feed, held_out.rows, losses, options, on_progress)
    examples = [item.example for part in parts for item in part]
    lineage = digest([[example.call_id, example.prompt, example.completion] for example in examples])
    checkpoint = out.parent / CHECKPOINT
    run.fit(checkpoint, lineage)
    result = ExtractiveResult(
        student=Student(model, schema, tokenizer, options.context),
        loss=run.loss,
        validation=run.best,
        curve=tuple(run.curve),
        steps=run.steps_done,
        examples=len(feed.rows),
        left_out=feed.left_out + held_out.left_out,
        cpu_seconds=time.process_time() - started,
        lineage=lineage,
    )
    _write(result, out, encoder, options)
    checkpoint.unlink(missing_ok=True)
    return result


def experience_of(student: Student, items: Sequence[Item], card: Card) -> Experience:
    """Let a student remember its training calls: where each stands, and what was said to it.

    Args:
        student: The trained student.
        items: Its training calls.
        card: The specialist's card.
    """
    vectors = student.vectors([TaskRequest(item.task, item.call.request) for item in items], card)
    answers = [said(student.schema.output, item.example.completion) for item in items]
    labels = {label: index for index, label in enumerate(student.schema.labels)}
    keys = {key: index for index, key in enumerate(student.schema.keys)}
    forms = [form_of([keys[key] for key in answer.arguments]) for answer in answers]
    return Experience(
        vectors.astype(np.float16),
        np.array([labels.get(answer.label, -1) for answer in answers], np.int32),
        np.array(forms, np.int64),
    )


def _feeds(
    parts: tuple[Sequence[Item], Sequence[Item]],
    cards: Mapping[str, TaskCard],
    schema: Schema,
    tokenizer: PreTrainedTokenizerBase,
    options: ExtractiveOptions,
) -> tuple[Feed, Feed]:
    """Make rows of the calls to learn from and of those to validate on."""
    limits, tracer = Limits(schema), Tracer(schema)
    train, validation = parts
    known = [item for item in validation if item.task in schema.tasks]
    feed, held_out = (
        Feed([_lesson(item, cards, limits) for item in items], tokenizer, tracer, options)
        for items in (train, known)
    )
    if not feed.rows or not held_out.rows:
        raise BadInput(
            f"Training needs calls of at most {options.context} tokens whose answers recur or are copied; "
            f"{len(feed.rows)} of {len(train)} training and {len(held_out.rows)} of {len(validation)} "
            "validation calls are."
        )
    return feed, held_out


def _lesson(item: Item, cards: Mapping[str, TaskCard], limits: Limits) -> Lesson:
    choices = limits.choices(item.task, cards[item.task], item.call.request)
    return Lesson(item.call.id, item.example.completion, choices)


def _write(result: ExtractiveResult, out: Path, encoder: Path, options: ExtractiveOptions) -> None:
    """Write beside the target, then move: a run that is broken off leaves nothing half-written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "new"
        result.student.save(fresh, encoder)
        (fresh / "README.md").write_text(_card(result, encoder, options), encoding="utf-8")
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)


def _card(result: ExtractiveResult, encoder: Path, options: ExtractiveOptions) -> str:
    schema = result.student.schema
    curve = ", ".join(f"{each.wrong:.1%} (loss {each.loss:.2f})" for each in result.curve)
    return f"""\
---
pipeline_tag: token-classification
---
# Extractive student

- Encoder: `{encoder.parent.name}/{encoder.name}`; its {options.frozen} lowest layers and its embeddings are
  not in this folder, because training did not change them
- It says {len(schema.labels)} names with {len(schema.pairs)} arguments, for {len(schema.tasks)} tasks
- Calls: {result.examples} ({result.left_out} of training and validation were left out: too long, or an answer
  that occurs once)
- Lineage of the calls (BLAKE2b over id, prompt, completion): `{result.lineage}`
- Wrong on validation calls after each epoch: {curve}; {result.steps} steps,
  {result.cpu_seconds:.0f} CPU seconds
- Options: `{options}`

It answers the tasks it was trained on. It is no better than its certificate: do not serve it without one.
"""
