"""What training on a GPU needs to be there."""

from __future__ import annotations

import importlib.util

import torch

from offramp.core.errors import BadInput, MissingExtra


def require_gpu(*, available: bool | None = None) -> None:
    """Say why QLoRA cannot run here.

    Args:
        available: Whether there is a CUDA GPU; what torch sees where not given.

    Raises:
        BadInput: There is none.
        MissingExtra: bitsandbytes is not installed.
    """
    if not (torch.cuda.is_available() if available is None else available):
        raise BadInput(
            "QLoRA holds the base in four bits on a CUDA GPU, and torch sees none here.",
            hint="Try lora instead, which trains the same adapter on a base in full precision.",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(
            "bitsandbytes is not installed; QLoRA needs it.", hint="Install it: pip install 'offramp[qlora]'."
        )
