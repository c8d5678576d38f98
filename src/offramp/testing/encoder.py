"""An encoder of a few thousand weights, random but always the same: quick to fine-tune, quick to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import BertConfig, BertModel, BertTokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_encoder(folder: Path, words: Iterable[str], *, layers: int = 2, seed: int = 0) -> Path:
    """Write a BERT of width 32 whose vocabulary is some words, and single letters and digits for all others.

    Args:
        folder: Made where it does not exist.
        words: Lower-case words.
        layers: Layers of the encoder.
        seed: Seed of the weights.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,.:;-'"
    vocabulary = dict.fromkeys([*_SPECIAL, *words, *letters, *(f"##{letter}" for letter in letters)])
    vocab = {word: index for index, word in enumerate(vocabulary)}
    BertTokenizer(vocab=vocab).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder
