"""Loading bases, for training and for serving."""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from offramp.core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BROKEN = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError)
"""What transformers and peft raise for a directory that is not what they expect."""

LINEAGE = "lineage.json"
"""File beside trained weights that says what they were made from."""


def load_base(base: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a base and its tokenizer in float32, from a directory or the hub.

    Raises:
        EngineError: There is no causal language model there.
    """
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(base)
    except BROKEN as error:
        raise EngineError(
            f"No causal language model could be loaded from {str(base)!r}: {error}",
            hint="Give a Hugging Face directory or a hub name, for instance Qwen/Qwen3-0.6B.",
        ) from error
    return model.eval(), tokenizer


def revision_of(base: Path | str, model: PreTrainedModel) -> str:
    """Say which weights a loaded base has.

    Returns:
        ``sha256:...`` of its weight files for a directory, ``commit:...`` for a hub name; "" where the hub
        gave none.
    """
    if Path(base).is_dir():
        return revision(str(base))
    commit = getattr(model.config, "_commit_hash", None)
    return f"commit:{commit}" if commit else ""


@lru_cache(maxsize=8)
def revision(base: str) -> str:
    """Say which weights a base has, without loading it; see `revision_of`. "" where it is not there."""
    folder = Path(base)
    if folder.is_dir():
        found = hashlib.sha256()
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        return f"sha256:{found.hexdigest()}"
    try:
        config = cached_file(base, "config.json")
    except BROKEN:
        return ""
    # The hub's cache keeps the files of a commit in a folder of that name.
    return f"commit:{Path(config).parent.name}" if config else ""


def check_origin(folder: Path, revision: str) -> None:
    """Refuse weights that were trained on another base than the one they are to run on.

    Peft only compares shapes, and an adapter on other weights of the same shape answers nonsense.

    Args:
        folder: What training wrote; without `LINEAGE` nothing is known and nothing refused.
        revision: `revision_of` the base it is to run on.

    Raises:
        ValueError: They do not belong together.
    """
    try:
        trained_on = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))["base"]["revision"]
    except FileNotFoundError:
        return
    if trained_on and revision and trained_on != revision:
        raise ValueError(f"it was trained on {trained_on}, this base is {revision}")


def is_whole(folder: Path) -> bool:
    """Say whether a folder holds a whole model and not an adapter."""
    return (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file()


def load_whole(folder: Path, base: PreTrainedModel) -> PreTrainedModel:
    """Load a model that was fully fine-tuned from a base, whose tokenizer it shares.

    Raises:
        ValueError: It is of another shape than the base.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    shapes = [(one.config.model_type, one.config.vocab_size, one.num_parameters()) for one in (model, base)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"it is {shapes[0]}, the base is {shapes[1]} (type, vocabulary, parameters)")
    return model


@contextmanager
def without_peft_noise() -> Iterator[None]:
    """Silence the one deprecation that peft 0.21 triggers in transformers 5."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
