"""AdamW for a student: rates by layer, and float32 weights behind layers that compute in bfloat16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.engine.extractive_model import ExtractiveModel

CLIP = 1.0
"""Largest norm of a step's gradients."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Peak rates of AdamW.

    Attributes:
        top: Rate of the encoder's top layer.
        decay: Factor of the rate from each layer to the one below.
        heads: Rate of the heads.
        weight_decay: Decay of matrices.
    """

    top: float
    decay: float
    heads: float
    weight_decay: float


class MasteredAdamW:
    """AdamW on float32 copies of the weights.

    A step in bfloat16 is too coarse to add up small updates, so it is taken on the copy and rounded back.
    Weights that are float32 themselves are their own copy.

    Args:
        model: The student's network.
        rates: Peak rates.
    """

    def __init__(self, model: ExtractiveModel, rates: Rates) -> None:
        self._weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._masters = {
            name: weight if weight.dtype == torch.float32 else weight.detach().float().requires_grad_()
            for name, weight in self._weights.items()
        }
        groups = _groups(self._masters.items(), len(model.upper), rates)
        self._adamw = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
        self._peaks = [group["lr"] for group in self._adamw.param_groups]

    def step(self, factor: float) -> None:
        """Take one step at ``factor`` of the peak rates and clear gradients."""
        for name, weight in self._weights.items():
            master = self._masters[name]
            if master is not weight and weight.grad is not None:
                master.grad = weight.grad.float()
                weight.grad = None
        torch.nn.utils.clip_grad_norm_(self._masters.values(), CLIP)
        for group, peak in zip(self._adamw.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        self._round()

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the weights in float32, by name."""
        return {name: master.detach().clone() for name, master in self._masters.items()}

    def state(self) -> dict[str, Any]:
        """Return what a run that goes on needs."""
        return {"weights": self.weights(), "adamw": self._adamw.state_dict()}

    @torch.no_grad()
    def resume(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        for name, master in self._masters.items():
            master.copy_(state["weights"][name])
        self._adamw.load_state_dict(state["adamw"])
        self._round()

    @torch.no_grad()
    def _round(self) -> None:
        for name, weight in self._weights.items():
            if self._masters[name] is not weight:
                weight.copy_(self._masters[name])


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than float32 ones."""
    return bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - torch has no public name for it


def triangle(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak rate at a step: up in a line, then down in a line to nothing."""
    start = max(1, round(steps * warmup))
    return (step + 1) / start if step < start else max(0.0, (steps - step) / max(1, steps - start))


def _groups(weights: Iterable[tuple[str, torch.Tensor]], depth: int, rates: Rates) -> list[dict[str, Any]]:
    """Split weights by rate and decay: layers near the top and the heads learn faster."""
    groups: dict[tuple[float, float], list[torch.Tensor]] = {}
    for name, weight in weights:
        rate = rates.heads
        if name.startswith("upper."):
            rate = rates.top * rates.decay ** (depth - 1 - int(name.split(".")[1]))
        decay = rates.weight_decay if weight.ndim == 2 else 0.0
        groups.setdefault((rate, decay), []).append(weight)
    return [{"params": held, "lr": rate, "weight_decay": decay} for (rate, decay), held in groups.items()]
