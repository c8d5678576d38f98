"""What a training run says of itself while it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

WATTS_PER_THREAD = 10.0
"""Assumed power of one busy CPU thread with its share of the machine; nothing here measures it."""


def energy_wh(cpu_seconds: float) -> float:
    """Estimate the energy of CPU seconds in watt-hours, at `WATTS_PER_THREAD`."""
    return cpu_seconds * WATTS_PER_THREAD / 3600


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands.

    Attributes:
        step: Steps done, over all seeds.
        steps: Steps planned; early stopping may end sooner.
        epoch: The epoch in progress, from 1.
        epochs: Epochs planned.
        loss: Mean training loss of the last ten steps, nats per completion token.
        validation_loss: The last validation, None before the first.
        eta_seconds: Estimated wall-clock seconds to go.
        tokens_per_second: Tokens trained per wall-clock second.
        cpu_seconds: CPU seconds spent so far, before an interruption included.
        note: What just happened, where something did: a divergence, a resumption.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None
    eta_seconds: float
    tokens_per_second: float
    cpu_seconds: float
    note: str = ""

    def line(self) -> str:
        """Render for a terminal."""
        if self.note:
            return self.note
        validated = "" if self.validation_loss is None else f" (validation {self.validation_loss:.3f})"
        return (
            f"step {self.step}/{self.steps}, epoch {self.epoch}/{self.epochs}, "
            f"loss {self.loss:.3f}{validated}, {self.tokens_per_second:,.0f} tokens/s, "
            f"{self.cpu_seconds:.0f} CPU s, about {energy_wh(self.cpu_seconds):.2f} Wh, "
            f"{self.eta_seconds:.0f} s to go"
        )

    def to_dict(self) -> JsonObject:
        """Render as a JSON event."""
        return {"event": "training", **asdict(self), "energy_wh": round(energy_wh(self.cpu_seconds), 4)}
