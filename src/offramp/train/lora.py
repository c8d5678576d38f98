"""Trains a specialist: a LoRA adapter (Hu et al. 2021, arXiv 2106.09685) on any causal language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft import LoraConfig, get_peft_model

from offramp.engine.bases import load_base, without_peft_noise
from offramp.train.fit import Job, Pairs, fit
from offramp.train.options import LoraOptions
from offramp.train.progress import Progress
from offramp.train.result import TrainResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.core.model import Example

__all__ = ["Lora", "LoraOptions", "Progress", "TrainResult", "train_lora"]


def train_lora(
    examples: Sequence[Example],
    validation: Sequence[Example],
    *,
    base: Path | str,
    out: Path,
    options: LoraOptions,
    on_progress: Callable[[Progress], None],
) -> TrainResult:
    """Train one adapter and write it to ``out``; see `fit`.

    Raises:
        BadInput: No example fits the context, in training or in validation.
        EngineError: The base cannot be loaded, or the loss diverged twice.
    """
    return fit(Job(Lora(options), Pairs(examples, validation), base, out, options, on_progress))


@dataclass(frozen=True, slots=True)
class Lora:
    """Adapter matrices beside every linear layer; the base stays as it is.

    Attributes:
        options: Rank, scale and dropout of the matrices.
    """

    options: LoraOptions

    @property
    def name(self) -> str:
        """Its name."""
        return "lora"

    def prepare(self, base: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the base and put a fresh adapter on it; see `Method.prepare`."""
        model, tokenizer = load_base(base)
        return add_adapter(model, self.options), tokenizer

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Write the adapter alone, in peft's form."""
        del tokenizer
        model.save_pretrained(folder)


def add_adapter(model: PreTrainedModel, options: LoraOptions) -> PreTrainedModel:
    """Put a fresh adapter on every linear layer of a model."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules="all-linear",
    )
    with without_peft_noise():
        return get_peft_model(model, config)
