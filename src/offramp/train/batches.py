"""Rendered rows, batches of them, and the loss on their completions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from offramp.engine.render import render_completion, render_prompt
from offramp.train.distil import divergence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.train.distil import Soft


@dataclass(frozen=True, slots=True)
class Row:
    """One pair as token ids.

    Attributes:
        prompt: Ids of the prompt.
        completion: Ids of the completion, with the end token.
        soft: What the teacher would have said instead, for those tokens of the completion where it is known.
        told: Whether the teacher gave log-probabilities with it at all.
    """

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    soft: tuple[Soft, ...] = ()
    told: bool = False

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
        soft: Rows, columns in ``targets``, and what the teacher would have said there.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor
    tokens: int
    soft: tuple[tuple[int, int, Soft], ...] = ()


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
    soft = tuple(
        (index, kept - len(row.completion) + target.place, target)
        for index, row in enumerate(rows)
        for target in row.soft
    )
    return Batch(ids, mask, targets, sum(map(len, rows)), soft)


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


def completion_loss(model: PreTrainedModel, batch: Batch, distil: float = 0.0) -> torch.Tensor:
    """Return the mean loss over all completion tokens of a batch (a scalar).

    The loss of a token is its cross-entropy. Where it is known what the teacher would have said instead, a
    share of ``distil`` of it is the divergence from that.

    Logits are computed for the right edge only: with a short answer behind a long prompt that is
    most of the output layer's work saved.
    """
    kept, device = batch.targets.shape[1], model.device
    logits = model(
        input_ids=batch.ids.to(device),
        attention_mask=batch.mask.to(device),
        logits_to_keep=kept + 1,
        use_cache=False,
    ).logits[:, :-1]
    targets = batch.targets.to(device)
    answered = targets != -100
    loss = functional.cross_entropy(logits[answered].float(), targets[answered])
    if not distil or not batch.soft:
        return loss
    rows, columns, soft = zip(*batch.soft, strict=True)
    logprobs = logits[list(rows), list(columns)].float().log_softmax(-1)
    hard = functional.nll_loss(logprobs, targets[list(rows), list(columns)], reduction="sum")
    return loss + distil * (divergence(logprobs, soft).sum() - hard) / answered.sum()
