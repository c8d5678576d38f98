"""Checkpoints of a training run: what a run that was killed needs to go on as if it had not been."""

from __future__ import annotations

import math
import os
import pickle
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

    Weights = dict[str, torch.Tensor]

SUFFIX = ".run"
"""Beside the target ``out``, the folder ``out.run`` holds the checkpoints until the run is done."""

_BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError)


@dataclass(slots=True)
class Standing:
    """Where a run stands, apart from tensors.

    Attributes:
        epoch: Whole epochs done.
        batch: Batches done of the one in progress.
        steps: Steps done, over all epochs.
        tokens: Tokens trained on.
        rate_scale: Factor on all rates; below 1 after a divergence.
        without_gain: Validations since the last improvement.
        best_loss: Lowest validation loss.
        losses: Training losses of the epoch in progress, by step.
        history: Training and validation loss of each epoch.
        cpu_seconds: Process CPU seconds spent up to the checkpoint, in all processes.
        resumed: Times the run was taken up again.
        notes: What a reader of the result should know: divergences, resumptions.
        finished: Whether there is nothing left to do.
    """

    epoch: int = 0
    batch: int = 0
    steps: int = 0
    tokens: int = 0
    rate_scale: float = 1.0
    without_gain: int = 0
    best_loss: float = math.inf
    losses: list[float] = field(default_factory=list)
    history: list[tuple[float, float]] = field(default_factory=list)
    cpu_seconds: float = 0.0
    resumed: int = 0
    notes: list[str] = field(default_factory=list)
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All of a run's state.

    Attributes:
        standing: Where it stands.
        weights: The trained weights.
        best: Those with the lowest validation loss; empty before the first validation.
        optimizer: State of each optimizer.
        order: State of the feed's generator at the start of the epoch in progress.
        torch_random: State of torch's generator (dropout).
        guard: State of the loss guard.
    """

    standing: Standing
    weights: Weights
    best: Weights
    optimizer: list[dict[str, Any]]
    order: tuple[Any, ...]
    torch_random: torch.Tensor
    guard: list[float]


class CheckpointFile:
    """The checkpoint of one run in one file, replaced in one move: a kill leaves the old one or the new one.

    Args:
        path: The file.
        key: Hash of everything the run depends on; a checkpoint of another key is none of this run's.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key

    def save(self, checkpoint: Checkpoint) -> None:
        """Write to the disk itself before the old one goes."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path.with_suffix(".new")
        value = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
        with fresh.open("wb") as file:
            torch.save({"key": self._key, **value, "standing": asdict(checkpoint.standing)}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync_folder(self._path.parent)

    def load(self) -> Checkpoint | None:
        """Read the checkpoint; None where there is none of this run, or it cannot be read."""
        try:
            value = torch.load(self._path, map_location="cpu", weights_only=True)
            if value.pop("key") != self._key:
                return None
            return Checkpoint(standing=Standing(**value.pop("standing")), **value)
        except _BROKEN:
            # Whatever is wrong with it, training from the start is right and costs time only.
            return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
