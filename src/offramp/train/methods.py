"""The training methods by name."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, MissingExtra
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
TRAINERS = ("own", "trl")


def train(
    method: str,
    pairs: Pairs,
    *,
    base: Path | str,
    out: Path,
    options: LoraOptions,
    on_progress: Callable[[Progress], None],
    trainer: str = "own",
) -> TrainResult:
    """Train by a method of `METHODS`; see `fit`.

    Args:
        method: Its name.
        pairs: What is learned from.
        base: Directory or hub name of the base.
        out: Where the result goes.
        options: How to train; full fine-tuning leaves the adapter's aside and has a lower rate by default.
        on_progress: Told how it goes.
        trainer: One of `TRAINERS`: the loop of our own, or TRL's.

    Raises:
        BadInput: There is no such method or trainer, it cannot run here, or no example fits the context.
        MissingExtra: It needs a package that is not installed.
        EngineError: The base cannot be loaded, or the loss diverged twice.
    """
    chosen, used = _chosen(method, options)
    job = Job(chosen, pairs, base, out, used, on_progress)
    if trainer == "own":
        return fit(job)
    if trainer != "trl":
        raise BadInput(f"There is no trainer {trainer!r}; there are {', '.join(TRAINERS)}.")
    if not has_trl():
        raise MissingExtra("trl is not installed.", hint="Install it: pip install 'offramp[trl]'.")
    # It brings pyarrow and pandas, which take seconds to import.
    return importlib.import_module("offramp.train.trl_sft").train_with_trl(job)  # type: ignore[no-any-return]


def has_trl() -> bool:
    """Whether TRL can be used here."""
    return all(importlib.util.find_spec(name) is not None for name in ("trl", "datasets"))


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
