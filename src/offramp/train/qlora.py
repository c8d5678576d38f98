"""LoRA on a base held in four bits (Dettmers et al. 2023, arXiv 2305.14314): large bases on one GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from peft import prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from offramp.core.errors import EngineError
from offramp.engine.bases import BROKEN
from offramp.train.gpu import require_gpu
from offramp.train.lora import add_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from offramp.train.options import LoraOptions


@dataclass(frozen=True, slots=True)
class Qlora:
    """An adapter on a base quantised to four-bit NormalFloat; served on the base as it is.

    Attributes:
        options: Rank, scale and dropout of the adapter's matrices.
    """

    options: LoraOptions

    @property
    def name(self) -> str:
        """Its name."""
        return "qlora"

    def prepare(self, base: Path | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load the base in four bits on the first GPU and put a fresh adapter on it; see `Method.prepare`.

        Raises:
            BadInput: There is no CUDA GPU.
            MissingExtra: bitsandbytes is not installed.
            EngineError: The base cannot be loaded.
        """
        require_gpu()
        quantised = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        try:
            model = AutoModelForCausalLM.from_pretrained(
                base, quantization_config=quantised, device_map={"": 0}
            )
            tokenizer = AutoTokenizer.from_pretrained(base)
        except BROKEN as error:
            raise EngineError(
                f"{str(base)!r} could not be loaded in four bits: {error}",
                hint="Give a Hugging Face directory or a hub name of a causal language model.",
            ) from error
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        return add_adapter(model, self.options), tokenizer

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Write the adapter alone, in peft's form."""
        del tokenizer
        model.save_pretrained(folder)
