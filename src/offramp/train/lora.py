"""Trains a specialist: a LoRA adapter (Hu et al. 2021, arXiv 2106.09685) on any causal language model."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig, get_peft_model

from offramp.core.errors import BadInput
from offramp.core.json import digest
from offramp.engine.bases import load_base, without_peft_noise
from offramp.train.run import Feed, LoraOptions, Progress, Run, render_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peft import PeftModel
    from transformers import PreTrainedModel

    from offramp.core.model import Example

__all__ = ["LoraOptions", "Progress", "TrainResult", "train_lora"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained adapter.

    Attributes:
        path: The peft adapter directory.
        loss: Training loss of the last epoch, nats per completion token.
        validation_loss: Best validation loss; its weights are the ones kept.
        epochs: Epochs run.
        steps: Optimizer steps run.
        examples: Training examples used.
        left_out: Examples (training and validation) longer than the context.
        cpu_seconds: Process CPU time spent.
        lineage: Hash over all examples, in order.
    """

    path: Path
    loss: float
    validation_loss: float
    epochs: int
    steps: int
    examples: int
    left_out: int
    cpu_seconds: float
    lineage: str


def train_lora(
    examples: Sequence[Example],
    validation: Sequence[Example],
    *,
    base: Path | str,
    out: Path,
    options: LoraOptions,
    on_progress: Callable[[Progress], None],
) -> TrainResult:
    """Train one adapter and write it to ``out``, replacing what is there in one move.

    The loss counts completion tokens only. After every epoch the validation loss decides which weights
    are kept and when to stop early.

    Raises:
        BadInput: No example fits the context, in training or in validation.
        EngineError: The base cannot be loaded, or the loss diverged.
    """
    started = time.process_time()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model, tokenizer = load_base(base)
    context = min(options.context, int(model.config.max_position_embeddings))
    feed = Feed(tokenizer, examples, options, context)
    held_out, held_left_out = render_examples(tokenizer, validation, context)
    if not feed.size or not held_out:
        raise BadInput(
            f"Training needs examples of at most {context} tokens; {feed.size} of {len(examples)} training "
            f"and {len(held_out)} of {len(validation)} validation examples are."
        )
    adapted = _add_adapter(model, options)
    run = Run(adapted, feed, held_out, options, on_progress)
    run.fit()
    lineage = digest([[e.call_id, e.prompt, e.completion] for e in (*examples, *validation)])
    result = TrainResult(
        path=out,
        loss=run.loss,
        validation_loss=run.best_loss,
        epochs=run.epochs,
        steps=run.steps_done,
        examples=feed.size,
        left_out=feed.left_out + held_left_out,
        cpu_seconds=time.process_time() - started,
        lineage=lineage,
    )
    _write(adapted, out, _card(result, str(base), options))
    return result


def _add_adapter(model: PreTrainedModel, options: LoraOptions) -> PeftModel:
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules="all-linear",
    )
    with without_peft_noise():
        return get_peft_model(model, config)


def _write(model: PeftModel, out: Path, card: str) -> None:
    """Write beside the target, then move: a run that is broken off leaves nothing half-written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "new"
        model.save_pretrained(fresh)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)


def _card(result: TrainResult, base: str, options: LoraOptions) -> str:
    return f"""\
---
library_name: peft
base_model: {base}
---
# Specialist adapter

- Base: `{base}`
- Examples: {result.examples} ({result.left_out} longer than the context were left out)
- Lineage of the examples (BLAKE2b over id, prompt, completion): `{result.lineage}`
- Validation loss: {result.validation_loss:.4f} nats per completion token after {result.epochs} epochs,
  {result.steps} steps, {result.cpu_seconds:.0f} CPU seconds
- Options: `{options}`

It answers the one task it was trained on. It is no better than its certificate: do not serve it without one.
"""
