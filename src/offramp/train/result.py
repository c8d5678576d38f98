"""What a training run leaves: figures for people and for the specialist's card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.train.progress import energy_wh

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained adapter or model.

    Attributes:
        path: Its directory.
        method: ``"lora"``, ``"qlora"`` or ``"full"``.
        loss: Training loss of the last epoch, nats per completion token.
        validation_loss: Best validation loss; its weights are the ones kept.
        history: Training and validation loss by epoch, of the seed that was kept.
        epochs: Epochs run.
        steps: Optimizer steps run, those undone after a divergence included.
        tokens: Tokens trained on.
        examples: Training examples used.
        left_out: Examples (training and validation) longer than the context.
        cpu_seconds: Process CPU time spent, over all seeds and interruptions.
        lineage: Hash over all examples, in order.
        seed: The seed that was kept.
        seeds: Best validation loss by seed.
        told: Completion tokens for which the teacher gave log-probabilities.
        mapped: Those of them onto whose token of the student these could be mapped.
        resumed: Times it was taken up again after an interruption.
        notes: What else happened: divergences, resumptions.
    """

    path: Path
    method: str
    loss: float
    validation_loss: float
    history: tuple[tuple[float, float], ...]
    epochs: int
    steps: int
    tokens: int
    examples: int
    left_out: int
    cpu_seconds: float
    lineage: str
    seed: int
    seeds: dict[int, float]
    told: int = 0
    mapped: int = 0
    resumed: int = 0
    notes: tuple[str, ...] = ()

    def figures(self) -> JsonObject:
        """Render as a JSON object, for cards and reports."""
        figures: JsonObject = {
            name: getattr(self, name) for name in TrainResult.__slots__ if name not in {"path", "seeds"}
        }
        figures["history"] = [list(pair) for pair in self.history]
        figures["notes"] = list(self.notes)
        figures["seeds"] = {str(seed): loss for seed, loss in self.seeds.items()}
        figures["energy_wh"] = round(energy_wh(self.cpu_seconds), 4)
        return figures
