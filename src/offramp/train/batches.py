"""Rendered rows, batches of them, and the loss on their completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from offramp.engine.render import render_completion, render_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Row:
    """One pair as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows with their ends aligned, so that every completion stands at the right edge.

    Attributes:
        ids: Token ids, (rows, longest row).
        mask: 1 where a token is, 0 where padding is, same shape.
        targets: The completions' ids, -100 elsewhere, (rows, longest completion).
        tokens: Number of real tokens.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor
    tokens: int


def render_row(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str) -> Row:
    """Render one pair exactly as the engine will see it."""
    return Row(tuple(render_prompt(tokenizer, prompt)), tuple(render_completion(tokenizer, completion)))


def align(rows: Sequence[Row]) -> Batch:
    """Put rows into one batch; padding goes to the left."""
    width, kept = max(map(len, rows)), max(len(row.completion) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    targets = torch.full((len(rows), kept), -100, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = torch.tensor(row.prompt + row.completion)
        mask[index, width - len(row) :] = 1
        targets[index, kept - len(row.completion) :] = torch.tensor(row.completion)
    return Batch(ids, mask, targets, sum(map(len, rows)))


def group(rows: Sequence[Row], budget: int) -> list[list[int]]:
    """Group row indices of similar length so that each padded batch stays within a token budget."""
    groups: list[list[int]] = []
    current: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if current and len(rows[index]) * (len(current) + 1) > budget:
            groups.append(current)
            current = []
        current.append(index)
    return [*groups, current] if current else groups


def completion_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy over all completion tokens of a batch (a scalar).

    Logits are computed for the right edge only: with a short answer behind a long prompt that is
    most of the output layer's work saved.
    """
    kept = batch.targets.shape[1]
    logits = model(
        input_ids=batch.ids, attention_mask=batch.mask, logits_to_keep=kept + 1, use_cache=False
    ).logits[:, :-1]
    answered = batch.targets != -100
    return functional.cross_entropy(logits[answered].float(), batch.targets[answered])
