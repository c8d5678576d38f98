"""The training methods by name."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.train.fit import Job, fit
from offramp.train.full import RATE, Full
from offramp.train.lora import Lora
from offramp.train.options import LoraOptions, TrainOptions
from offramp.train.qlora import Qlora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offramp.train.fit import Method, Pairs
    from offramp.train.progress import Progress
    from offramp.train.result import TrainResult

METHODS = ("lora", "full", "qlora")


def train(
    method: str,
    pairs: Pairs,
    *,
    base: Path | str,
    out: Path,
    options: LoraOptions,
    on_progress: Callable[[Progress], None],
) -> TrainResult:
    """Train by a method of `METHODS`; see `fit`.

    Args:
        method: Its name.
        pairs: What is learned from.
        base: Directory or hub name of the base.
        out: Where the result goes.
        options: How to train; full fine-tuning leaves the adapter's aside and has a lower rate by default.
        on_progress: Told how it goes.

    Raises:
        BadInput: There is no such method, it cannot run here, or no example fits the context.
        MissingExtra: It needs a package that is not installed.
        EngineError: The base cannot be loaded, or the loss diverged twice.
    """
    chosen, used = _chosen(method, options)
    return fit(Job(chosen, pairs, base, out, used, on_progress))


def _chosen(method: str, options: LoraOptions) -> tuple[Method, TrainOptions]:
    if method == "lora":
        return Lora(options), options
    if method == "qlora":
        return Qlora(options), options
    if method == "full":
        shared = TrainOptions(**{field.name: getattr(options, field.name) for field in fields(TrainOptions)})
        default = options.matrix_rate == TrainOptions().matrix_rate
        return Full(), replace(shared, matrix_rate=RATE) if default else shared
    raise BadInput(f"There is no training method {method!r}; there are {', '.join(METHODS)}.")
