"""Memory of one base with its adapters, in bytes; ``docs/memory-model.md`` checks it on published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core import placement
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.json import JsonObject
    from offramp.plan.shape import ModelShape

GIB = 2**30
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The layers an adapter changes unless it says otherwise."""

# While it profiles itself, an engine holds several copies of the logits of all sequences (half and single
# precision, sorted values, sort indices, probabilities). Fitted to one published log, checked on another.
_BYTES_PER_LOGIT = 38


@dataclass(frozen=True, slots=True)
class EngineFootprint:
    """What an engine takes besides weights, adapters and KV cache.

    Attributes:
        context: Bytes of the device context and the process.
        graphs: Bytes of captured graphs.
        batched_tokens: Tokens of one prefill step (vLLM's ``--max-num-batched-tokens``).
        sequences: Sequences decoded at once (vLLM's ``--max-num-seqs``).
    """

    context: int = GIB // 2
    graphs: int = GIB // 2
    batched_tokens: int = 2048
    sequences: int = 256


EMBEDDED = EngineFootprint(context=GIB // 2, graphs=0, batched_tokens=512, sequences=8)
"""The engine inside offramp's own process tree on a CPU: interpreter and torch, no graphs."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that a plan needs on one device.

    Attributes:
        weights: Weights of the bases, and what candidates without a base bring along.
        adapters: Adapter slots, each padded to the largest rank.
        fixed: Context, activations and graphs of the engines.
        kv: KV cache for the expected concurrency.
        kv_per_token: Of that, bytes per token of context (0 without a base).
    """

    weights: int
    adapters: int
    fixed: int
    kv: int
    kv_per_token: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapters + self.fixed + self.kv

    def to_dict(self) -> JsonObject:
        """As JSON, with the total."""
        return {
            "weights": self.weights,
            "adapters": self.adapters,
            "fixed": self.fixed,
            "kv": self.kv,
            "kv_per_token": self.kv_per_token,
            "total": self.total,
        }


def weight_bytes(shape: ModelShape) -> int:
    """Bytes of all weights: quantised linear layers, the rest as stored."""
    rest = shape.params - shape.linear_params
    return round(shape.linear_params * shape.linear_bytes + rest * shape.weight_bytes)


def kv_bytes(shape: ModelShape, tokens: int, *, kv_value_bytes: int = 2) -> int:
    """Bytes of the KV cache of one sequence of ``tokens``, summed over the layers.

    Args:
        shape: The base. Its key-value heads count, not its query heads (grouped-query attention).
        tokens: Prompt and completion; a layer with a sliding window keeps no more than its window.
        kv_value_bytes: Bytes of one cached value (1 for an FP8 cache).
    """
    return sum(
        2 * heads * shape.head_dim * kv_value_bytes * (tokens if window is None else min(tokens, window))
        for heads, window in zip(shape.kv_heads, shape.windows, strict=True)
    )


def adapter_bytes(shape: ModelShape, rank: int, *, targets: Sequence[str] = ALL_LINEAR) -> int:
    """Bytes of one LoRA adapter of this rank, in 16 bits: ``sum r (d_in + d_out)``.

    Raises:
        BadInput: ``targets`` names a layer that the base does not have.
    """
    unknown = sorted(set(targets) - set(ALL_LINEAR))
    if unknown:
        raise BadInput(f"Adapter targets {unknown} are unknown; allowed are {', '.join(ALL_LINEAR)}.")
    widths = (shape.linears(layer)[target] for layer in range(shape.layers) for target in targets)
    return 2 * rank * sum(d_in + d_out for d_in, d_out in widths)


def slot_rank(ranks: Sequence[int]) -> int:
    """Rank that every adapter slot is padded to: the smallest allowed one that holds the largest adapter.

    Raises:
        BadInput: An adapter is larger than any engine allows.
    """
    largest = max(ranks)
    allowed = placement.slot_rank(largest)
    if allowed is None:
        raise BadInput(f"An adapter has rank {largest}; engines allow at most {placement.LORA_RANKS[-1]}.")
    return allowed


def slots_bytes(shape: ModelShape, ranks: Sequence[int], *, targets: Sequence[str] = ALL_LINEAR) -> int:
    """Bytes of one adapter slot per entry of ``ranks``, all padded to the same rank (0 for none)."""
    if not ranks:
        return 0
    return len(ranks) * adapter_bytes(shape, slot_rank(ranks), targets=targets)


def fixed_bytes(shape: ModelShape, engine: EngineFootprint) -> int:
    """Bytes of context, graphs and the largest activations of one engine."""
    per_token = 2 * shape.intermediate + 4 * shape.hidden
    activations = engine.batched_tokens * per_token * shape.weight_bytes
    logits = engine.sequences * shape.vocab * _BYTES_PER_LOGIT
    return round(engine.context + engine.graphs + activations + logits)
