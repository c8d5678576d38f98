"""The extractive student's network: a pretrained encoder, a head for names, one for copied values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from offramp.core.errors import EngineError
from offramp.engine.bases import BROKEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from offramp.engine.extractive_schema import Schema

NEVER = -1e4
"""Added to the score of what may not be chosen; finite, so that a row without choices gives no NaN."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A payload as the encoder reads it.

    Attributes:
        ids: Token ids, special tokens included.
        spans: Start and end of each token in the payload, in characters; equal for special tokens.
        opens: Whether each token opens a word; only these are tagged, the rest of a word goes with them.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    opens: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)


class Encoded(NamedTuple):
    """What the encoder made of a batch.

    Attributes:
        pooled: What the head for names reads, shape (rows, width).
        tokens: One vector per token, shape (rows, tokens, width).
    """

    pooled: torch.Tensor
    tokens: torch.Tensor


class ExtractiveModel(nn.Module):
    """A BERT-like encoder with three heads.

    The lowest layers stay as they were pretrained: they are not trained and not saved.

    Args:
        encoder: A pretrained encoder with ``embeddings`` and ``encoder.layer``.
        schema: What there is to say.
        frozen: Number of lowest layers that stay as they are.
        dropout: Dropout before the heads.
    """

    def __init__(self, encoder: Any, schema: Schema, *, frozen: int, dropout: float = 0.1) -> None:
        super().__init__()
        width = int(encoder.config.hidden_size)
        self.embeddings = encoder.embeddings
        self.lower = nn.ModuleList(encoder.encoder.layer[:frozen])
        self.upper = nn.ModuleList(encoder.encoder.layer[frozen:])
        self.task = nn.Embedding(len(schema.tasks), width)
        self.pool = nn.Linear(2 * width, width)
        self.label = nn.Linear(width, len(schema.labels))
        self.token = nn.Linear(width, width)
        self.spoken = nn.Embedding(len(schema.labels), width)
        self.tag = nn.Linear(width, schema.tags)
        self.constant = nn.Linear(width, max(1, schema.constants))
        self.dropout = nn.Dropout(dropout)
        for vectors in (self.task, self.spoken):
            nn.init.zeros_(vectors.weight)
        for part in (self.embeddings, self.lower):
            part.requires_grad_(requires_grad=False)

    def encode(self, ids: torch.Tensor, mask: torch.Tensor, tasks: torch.Tensor) -> Encoded:
        """Read a batch.

        Args:
            ids: Token ids, shape (rows, tokens).
            mask: 1 where a token is, 0 where padding is, same shape.
            tasks: Index of each row's task, shape (rows,).
        """
        with torch.no_grad():
            hidden = self.embeddings(input_ids=ids)
            around = ((1.0 - mask[:, None, None, :].float()) * NEVER).to(hidden.dtype)
            for layer in self.lower:
                hidden = layer(hidden, around)
        hidden = hidden + self.task(tasks)[:, None, :].to(hidden.dtype)
        for layer in self.upper:
            hidden = layer(hidden, around)
        hidden = hidden.float()
        counted = mask[..., None].float()
        mean = (hidden * counted).sum(1) / counted.sum(1)
        pooled = functional.gelu(self.pool(self.dropout(torch.cat([hidden[:, 0], mean], dim=1))))
        return Encoded(pooled, hidden)

    def label_scores(self, encoded: Encoded) -> torch.Tensor:
        """Return a score for each label, shape (rows, labels)."""
        return self.label(self.dropout(encoded.pooled))  # type: ignore[no-any-return]

    def tag_scores(self, encoded: Encoded, labels: torch.Tensor) -> torch.Tensor:
        """Return a score for each tag of each token, given what is called.

        Args:
            encoded: From `encode`.
            labels: Index of the label that is said, shape (rows,).

        Returns:
            Shape (rows, tokens, tags).
        """
        mixed = self.token(self.dropout(encoded.tokens)) + self.spoken(labels)[:, None, :]
        return self.tag(self.dropout(functional.gelu(mixed)))  # type: ignore[no-any-return]

    def constant_scores(self, encoded: Encoded) -> torch.Tensor:
        """Return a score for each fixed value of each pair, shape (rows, outputs)."""
        return self.constant(self.dropout(encoded.pooled))  # type: ignore[no-any-return]

    def halve(self) -> None:
        """Let the encoder compute in bfloat16; the heads stay in float32."""
        for part in (self.embeddings, self.lower, self.upper):
            part.to(torch.bfloat16)

    def learned(self) -> dict[str, torch.Tensor]:
        """Return the weights that training may have changed, by name."""
        return {name: weight.detach() for name, weight in self.named_parameters() if weight.requires_grad}


def load_encoder(path: Path | str) -> tuple[Any, PreTrainedTokenizerBase]:
    """Load a pretrained encoder without dropout, and its tokenizer.

    Raises:
        EngineError: There is none of the kind needed.
    """
    transformers_logging.disable_progress_bar()
    try:
        # Plain attention: on a CPU the backward pass of the fused kernel takes four times as long, and
        # drawing dropout masks inside the layers takes a third of a step.
        encoder = AutoModel.from_pretrained(
            path,
            dtype=torch.float32,
            attn_implementation="eager",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        tokenizer = AutoTokenizer.from_pretrained(path)
    except BROKEN as error:
        raise EngineError(f"No encoder could be loaded from {str(path)!r}: {error}") from error
    if not hasattr(encoder, "embeddings") or not hasattr(getattr(encoder, "encoder", None), "layer"):
        raise EngineError(
            f"{str(path)!r} holds a {type(encoder).__name__}; a BERT-like encoder is needed.",
            hint="The default, all-MiniLM-L6-v2, is one.",
        )
    return encoder, tokenizer


def tokenise(tokenizer: PreTrainedTokenizerBase, payloads: Sequence[str]) -> list[Tokens]:
    """Split payloads into tokens, the same way in training and in serving."""
    if not payloads:
        return []
    batch = tokenizer(list(payloads), return_offsets_mapping=True, truncation=False, verbose=False)
    read = zip(payloads, batch["input_ids"], batch["offset_mapping"], strict=True)
    return [tokens_of(payload, ids, spans) for payload, ids, spans in read]


def tokens_of(payload: str, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> Tokens:
    """Find out which tokens open a word: all but those that go on with letters or digits."""
    opens = [
        start < end and not (payload[start - 1 : start].isalnum() and payload[start].isalnum())
        for start, end in spans
    ]
    return Tokens(tuple(ids), tuple((int(a), int(b)) for a, b in spans), tuple(opens))


def padded(rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Put rows into one batch, padding to the right; return ids and mask, each (rows, longest)."""
    width = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row.ids)
        mask[index, : len(row)] = 1
    return ids, mask
