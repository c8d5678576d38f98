"""The optimizer pair for all training here: Muon for matrices, AdamW for the rest."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable


class MuonAdamW:
    """Muon (Jordan et al. 2024; scaled as in Liu et al. 2025, arXiv 2502.16982) beside AdamW.

    Muon takes every two-dimensional weight but embeddings; AdamW takes embeddings, norms and biases.

    Args:
        parameters: Named parameters; those that need no gradient are left alone.
        matrix_rate: Peak learning rate of Muon.
        other_rate: Peak learning rate of AdamW.
        weight_decay: Decay of the matrices.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, torch.nn.Parameter]],
        *,
        matrix_rate: float,
        other_rate: float,
        weight_decay: float = 0.0,
    ) -> None:
        trained = [(name, weight) for name, weight in parameters if weight.requires_grad]
        matrices = [weight for name, weight in trained if _is_matrix(name, weight)]
        others = [weight for name, weight in trained if not _is_matrix(name, weight)]
        self._weights = [*matrices, *others]
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices,
                    lr=matrix_rate,
                    weight_decay=weight_decay,
                    momentum=0.95,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        if others:
            self._parts.append(torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.95), weight_decay=0.0))
        self._peaks = [part.param_groups[0]["lr"] for part in self._parts]

    def step(self, factor: float) -> float:
        """Clip gradients to norm 1, take one step at ``factor`` of the peak rates, clear gradients.

        Returns:
            The gradient norm before clipping.
        """
        norm = torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        for part, peak in zip(self._parts, self._peaks, strict=True):
            part.param_groups[0]["lr"] = peak * factor
            part.step()
            part.zero_grad(set_to_none=True)
        return float(norm)

    def state(self) -> list[dict[str, Any]]:
        """Return the state of both parts, for a checkpoint."""
        return [part.state_dict() for part in self._parts]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Take up what `state` returned."""
        for part, saved in zip(self._parts, state, strict=True):
            part.load_state_dict(saved)


def rate_factor(step: int, steps: int, *, warmup: float = 0.03) -> float:
    """Return the share of the peak rate at a step: linear warm-up, then a cosine down to a twentieth."""
    start = max(1, round(steps * warmup))
    if step < start:
        return (step + 1) / start
    progress = min(1.0, (step - start) / max(1, steps - start))
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress))


def seeded(seed: int) -> Random:
    """Return the generator that orders and generates training data."""
    return Random(seed)  # noqa: S311 - reproducible training, no secrets


def _is_matrix(name: str, weight: torch.Tensor) -> bool:
    return weight.ndim == 2 and "embed" not in name and "lm_head" not in name
