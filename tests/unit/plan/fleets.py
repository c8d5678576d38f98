"""Demands, devices and groups for tests of the fleet planner."""

from __future__ import annotations

import numpy as np

from offramp.plan.demand import Length, lengths_from
from offramp.plan.devices import load_devices
from offramp.plan.fleet import Stock
from offramp.plan.shape import ModelShape, read_shape
from offramp.plan.sizing import Group, Member

TABLE = load_devices()
A100 = Stock(TABLE["a100-80gb"])
SHORT = (Length(100, 10, 3.0), Length(300, 40, 1.0))


def shape(name: str = "4b", *, layers: int = 36, hidden: int = 2560) -> ModelShape:
    return read_shape(
        {
            "model_type": "qwen3",
            "num_hidden_layers": layers,
            "hidden_size": hidden,
            "intermediate_size": hidden * 4,
            "num_attention_heads": hidden // 80,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        name=name,
    )


BASE = shape()


def member(
    name: str = "t",
    rate: float = 1.0,
    *,
    objective_s: float = 5.0,
    burst: float = 1.0,
    lengths: tuple[Length, ...] = SHORT,
    rank: int = 16,
) -> Member:
    return Member(name, f"{name}-4b", rank, (rate,), lengths, objective_s, burst)


def group(*members: Member, base: ModelShape = BASE) -> Group:
    return Group(base.name, base, base.name, members or (member(),))


def drawn(prompt: float, completion: float, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-normal lengths of 4,000 calls, as wide as their mean."""
    generator = np.random.default_rng(seed)
    spread = np.log(2.0)
    columns = [
        np.clip(generator.lognormal(np.log(mean) - spread / 2, np.sqrt(spread), 4000), 1, 8000)
        for mean in (prompt, completion)
    ]
    return columns[0].astype(np.int64), columns[1].astype(np.int64)


def summed(prompt: float, completion: float) -> tuple[Length, ...]:
    return lengths_from(*drawn(prompt, completion))
