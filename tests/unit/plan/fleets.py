"""Demands, devices and groups for tests of the fleet planner."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from offramp.plan.demand import Choice, Demand, Length, TaskDemand, lengths_from
from offramp.plan.devices import load_devices
from offramp.plan.fleet import Sharing, Stock
from offramp.plan.load import Group, Member
from offramp.plan.shape import ModelShape, read_shape

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


SHAPES = {
    "4b": BASE,
    "1.7b": shape("1.7b", layers=28, hidden=2048),
    "0.6b": shape("0.6b", layers=28, hidden=1024),
}
SHARED = Sharing(compute=1.3)


def stocks(*kinds: str, count: int | None = None, sharing: Sharing = SHARED) -> tuple[Stock, ...]:
    return tuple(Stock(TABLE[kind], count=count, sharing=sharing) for kind in kinds)


def task(
    name: str = "t",
    rate: float = 0.2,
    *,
    objective_s: float = 10.0,
    usd: float = 0.01,
    bases: tuple[str, ...] = ("4b", "1.7b"),
    windows: tuple[float, ...] = (1.0,),
    burst: float = 1.0,
) -> TaskDemand:
    """A task whose specialists on larger bases answer more: 90 %, 85 %, 80 %."""
    choices = tuple(
        Choice(f"{name}-{base}", base, 16, round(0.9 - 0.05 * place, 2)) for place, base in enumerate(bases)
    )
    rates = tuple(rate * factor for factor in windows)
    return TaskDemand(name, rates, SHORT, objective_s, choices, burst, usd)


def demands(most: int = 6) -> st.SearchStrategy[Demand]:
    """Demands of a few tasks over three windows, light to heavy."""
    one = st.tuples(
        st.floats(0.01, 4.0),
        st.sampled_from([2.0, 6.0, 20.0]),
        st.sampled_from([("4b", "1.7b"), ("1.7b",), ("4b", "0.6b")]),
        st.permutations([1.0, 0.5, 0.1]),
        st.sampled_from([0.0, 0.001, 0.02]),
    )

    def build(rows: list[tuple[float, float, tuple[str, ...], list[float], float]]) -> Demand:
        return Demand(
            tuple(
                task(
                    f"t{number}",
                    rate,
                    objective_s=objective,
                    bases=bases,
                    windows=tuple(windows),
                    usd=usd,
                )
                for number, (rate, objective, bases, windows, usd) in enumerate(rows)
            )
        )

    return st.lists(one, min_size=1, max_size=most).map(build)
