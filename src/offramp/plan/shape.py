"""The shape of a dense decoder, read from a Hugging Face ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

FAMILIES = ("llama", "mistral", "phi3", "qwen2", "qwen3")
"""The model types whose layers are counted here: dense, grouped-query attention, gated feed-forward."""

_DTYPE_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
_ATTENTION = ("full_attention", "sliding_attention")
# One 16-bit scale and one 4-bit zero point per group, as GPTQ and AWQ store them.
_GROUP_OVERHEAD_BITS = 20.0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Everything about a base that memory and speed depend on.

    Attributes:
        name: How it is called in tables.
        family: Its ``model_type``.
        layers: Number of decoder layers.
        hidden: Width of the residual stream.
        intermediate: Width of the feed-forward block.
        heads: Query heads.
        head_dim: Width of one head (not always ``hidden / heads``).
        kv_heads: Key-value heads of each layer, one entry per layer.
        windows: Tokens each layer keeps in its KV cache; None keeps all.
        vocab: Entries of the vocabulary.
        tied: Whether the output layer reuses the embedding.
        qkv_bias: Whether query, key and value projections have a bias.
        qk_norm: Whether queries and keys are normalised (Qwen3).
        weight_bytes: Bytes of one unquantised weight.
        linear_bytes: Bytes of one weight of the decoder's linear layers, scales included.
    """

    name: str
    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    head_dim: int
    kv_heads: tuple[int, ...]
    windows: tuple[int | None, ...]
    vocab: int
    tied: bool
    qkv_bias: bool
    qk_norm: bool
    weight_bytes: float
    linear_bytes: float

    def linears(self, layer: int) -> dict[str, tuple[int, int]]:
        """Return input and output width of each linear layer of decoder layer ``layer``."""
        queries, keys = self.heads * self.head_dim, self.kv_heads[layer] * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear_params(self) -> int:
        """Weights in the decoder's linear layers."""
        return sum(
            d_in * d_out for layer in range(self.layers) for d_in, d_out in self.linears(layer).values()
        )

    @property
    def head_params(self) -> int:
        """Weights of the output layer (shared with the embedding where tied)."""
        return self.vocab * self.hidden

    @property
    def other_params(self) -> int:
        """Weights of norms and biases."""
        norms = 2 * self.hidden * self.layers + self.hidden
        if self.qk_norm:
            norms += 2 * self.head_dim * self.layers
        if not self.qkv_bias:
            return norms
        return norms + sum((self.heads + 2 * kv) * self.head_dim for kv in self.kv_heads)

    @property
    def params(self) -> int:
        """All weights."""
        return self.linear_params + self.head_params * (1 if self.tied else 2) + self.other_params

    @property
    def active_params(self) -> int:
        """Weights that one token multiplies with: all but the embedding look-up."""
        return self.linear_params + self.head_params

    @property
    def active_bytes(self) -> float:
        """Bytes that one decoding step reads from memory for the weights."""
        return self.linear_params * self.linear_bytes + self.head_params * self.weight_bytes


def read_shape(config: JsonObject, *, name: str = "") -> ModelShape:
    """Read a Hugging Face config.

    Args:
        config: The decoded ``config.json`` of a dense causal model.
        name: How to call it; its ``_name_or_path`` or model type by default.

    Raises:
        BadInput: The model type is not one of ``FAMILIES``, a field is missing or is not a positive
            number, or the quantisation is unknown.
    """
    family = str(config.get("model_type", ""))
    if family not in FAMILIES:
        raise BadInput(
            f"The memory model does not know model_type {family!r}; it knows {', '.join(FAMILIES)}.",
            hint="Measure the candidate and give its memory_bytes and seconds_per_call instead.",
        )
    layers, hidden, heads = (
        _positive(config, key) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads")
    )
    weight_bytes = _dtype_bytes(config)
    return ModelShape(
        name=name or str(config.get("_name_or_path") or family),
        family=family,
        layers=layers,
        hidden=hidden,
        intermediate=_positive(config, "intermediate_size"),
        heads=heads,
        head_dim=int(config.get("head_dim") or hidden // heads),
        kv_heads=_kv_heads(config, layers, heads),
        windows=_windows(config, layers),
        vocab=_positive(config, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=family == "qwen2" or bool(config.get("attention_bias", False)),
        qk_norm=family == "qwen3",
        weight_bytes=weight_bytes,
        linear_bytes=_linear_bytes(config, weight_bytes),
    )


def _positive(config: JsonObject, key: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"The model's config has {key}={value!r}; a positive whole number is needed.")
    return value


def _dtype_bytes(config: JsonObject) -> float:
    # transformers 5 writes dtype, earlier versions torch_dtype.
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16").removeprefix("torch.")
    if dtype not in _DTYPE_BYTES:
        raise BadInput(f"The model's config has dtype {dtype!r}; allowed are {', '.join(_DTYPE_BYTES)}.")
    return _DTYPE_BYTES[dtype]


def _kv_heads(config: JsonObject, layers: int, heads: int) -> tuple[int, ...]:
    value = config.get("num_key_value_heads")
    if isinstance(value, list):
        if len(value) != layers:
            raise BadInput(f"num_key_value_heads lists {len(value)} layers; the model has {layers}.")
        return tuple(int(v) for v in value)
    return (heads if value is None else _positive(config, "num_key_value_heads"),) * layers


def _windows(config: JsonObject, layers: int) -> tuple[int | None, ...]:
    window = config.get("sliding_window")
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        unknown = sorted({str(kind) for kind in kinds} - set(_ATTENTION))
        if unknown or len(kinds) != layers:
            raise BadInput(
                f"layer_types has {unknown or len(kinds)}; allowed: {layers} of {', '.join(_ATTENTION)}."
            )
        return tuple(int(window) if window and kind == "sliding_attention" else None for kind in kinds)
    used = bool(config.get("use_sliding_window", config.get("model_type") == "mistral"))
    return (int(window) if window and used else None,) * layers


def _linear_bytes(config: JsonObject, weight_bytes: float) -> float:
    quantisation = config.get("quantization_config")
    if not isinstance(quantisation, dict):
        return weight_bytes
    method = str(quantisation.get("quant_method", ""))
    if method == "fp8":
        return 1.0
    if method in ("gptq", "awq"):
        bits, group = float(quantisation.get("bits", 4)), float(quantisation.get("group_size", 128))
        return (bits + _GROUP_OVERHEAD_BITS / group) / 8
    groups = quantisation.get("config_groups")
    if method == "compressed-tensors" and isinstance(groups, dict) and groups:
        return float(max(group["weights"]["num_bits"] for group in groups.values())) / 8
    raise BadInput(
        f"The model's config has quant_method {method!r}; allowed are fp8, gptq, awq and compressed-tensors."
    )
