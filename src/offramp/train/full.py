"""Trains a specialist by changing all weights of a base: the most it can learn, and as large as the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.engine.bases import load_base

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RATE = 1e-3
"""Peak rate of Muon on whole matrices; an adapter's default is too high for them."""


@dataclass(frozen=True, slots=True)
class Full:
    """All weights of the base are trained."""

    @property
    def name(self) -> str:
        """Its name."""
        return "full"

    def prepare(self, base: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the base with every weight trainable; see `Method.prepare`."""
        model, tokenizer = load_base(base)
        return model.requires_grad_(requires_grad=True), tokenizer

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Write the whole model, with the tokenizer that belongs to it."""
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
