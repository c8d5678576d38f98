"""What calls cost on a small model and on a large one, equally busy, and what is left of it for a fleet.

Models of 7 to 8, of 70 and of 175 billion weights (bfloat16, random: only their shapes matter) are run until
nothing more goes through them, at the iteration level, on as many A100s as their weights need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.fleet.worlds import DEVICES, KIND

from offramp.core.placement import EngineMemory, PlacedDevice, PlacedEngine, Placement, Role, Slice
from offramp.plan.memory import EngineFootprint, fixed_bytes, weight_bytes
from offramp.plan.prices import load_prices
from offramp.plan.shape import read_shape
from offramp.simulate.arrivals import Lengths, poisson
from offramp.simulate.policy import first_come
from offramp.simulate.run import Stream, simulate

if TYPE_CHECKING:
    from offramp.plan.shape import ModelShape

LENGTHS = Lengths(prompt=512, completion=64, cv=1.0, largest=2048)
SLOTS = 128
FLOOD_PER_S, FLOOD_S = 200.0, 30.0
UTILISATIONS = (1.0, 0.5, 0.2)
COVERAGES = (0.5, 0.8, 0.95)
AUDITED = 0.05
APIS = ("gpt-4o", "gpt-4o-mini")


def _shape(name: str, *, layers: int, hidden: int, intermediate: int, kv: int, vocab: int) -> ModelShape:
    config = {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": hidden // 128,
        "num_key_value_heads": kv,
        "head_dim": 128,
        "vocab_size": vocab,
        "tie_word_embeddings": False,
    }
    return read_shape(config, name=name)


# The last has GPT-3's width, depth and weights; its feed-forward block has three matrices for GPT-3's two.
MODELS = (
    (_shape("Llama-2 7B", layers=32, hidden=4096, intermediate=11008, kv=32, vocab=32_000), 1),
    (_shape("Llama-3.1 8B", layers=32, hidden=4096, intermediate=14336, kv=8, vocab=128_256), 1),
    (_shape("Llama-2 70B", layers=80, hidden=8192, intermediate=28672, kv=8, vocab=32_000), 4),
    (_shape("Llama-3.1 70B", layers=80, hidden=8192, intermediate=28672, kv=8, vocab=128_256), 4),
    (_shape("GPT-3 175B", layers=96, hidden=12288, intermediate=32768, kv=96, vocab=50_257), 8),
)
SMALL, LARGE, LARGEST = 1, 3, 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs when nothing more goes through it.

    Attributes:
        shape: Of the model.
        devices: It runs on.
        per_s: Calls a second.
        usd: A thousand calls.
    """

    shape: ModelShape
    devices: int
    per_s: float
    usd: float


def cost(shape: ModelShape, devices: int) -> Cost:
    """Flood a model, and count what goes through."""
    footprint = EngineFootprint(sequences=SLOTS)
    weights, fixed = weight_bytes(shape) // devices, fixed_bytes(shape, footprint)
    kv = round(0.95 * DEVICES[KIND].memory) - weights - fixed
    slices = tuple(Slice(device) for device in range(devices))
    memory = EngineMemory(weights, 0, fixed, kv)
    engine = PlacedEngine(shape.name, shape.name, Role.LLM, slices, memory, slots=SLOTS, context=8192)
    placement = Placement(tuple(PlacedDevice(KIND, index=index) for index in range(devices)), (engine,))
    flood = Stream(shape.name, poisson(FLOOD_PER_S, FLOOD_S, LENGTHS, seed=1), 60.0)
    outcome = simulate(placement, [flood], first_come(), shapes={shape.name: shape}, devices=DEVICES)
    per_s = len(outcome.at) / outcome.seconds
    return Cost(shape, devices, per_s, DEVICES[KIND].price_per_hour * devices / 3.6 / per_s)


def report() -> bool:
    """Print costs and ratios; whether they are in the range that is claimed (10 to 30 times)."""
    found = [cost(shape, devices) for shape, devices in MODELS]
    small = found[SMALL]
    price = DEVICES[KIND].price_per_hour
    sizes = f"{LENGTHS.prompt:.0f} + {LENGTHS.completion:.0f} tokens"
    print(f"\nA thousand calls of {sizes} in USD, by how busy the {KIND}s are kept ({price:.2f} USD/h)\n")
    print("| model | 10^9 weights | GPUs | calls/s | 100 % | 50 % | 20 % | times the 8B | the 8B at 20 % |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in found:
        usd = " | ".join(f"{one.usd / busy:.3f}" for busy in UTILISATIONS)
        print(
            f"| {one.shape.name} | {one.shape.params / 1e9:.1f} | {one.devices} | {one.per_s:.1f} | {usd} | "
            f"{one.usd / small.usd:.1f} | {one.usd / small.usd * 0.2:.1f} |"
        )
    print("\nAll calls on the LLM, over a fleet in which the 8B answers a part and 5 % of that is audited\n")
    print("| LLM | " + " | ".join(f"{share:.0%} answered" for share in COVERAGES) + " |")
    print("|---|" + "---|" * len(COVERAGES))
    for large in (found[LARGE], found[LARGEST]):
        ratios = (large.usd / _fleet(large.usd, small.usd, share) for share in COVERAGES)
        print(f"| {large.shape.name} | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")
    _against_api(small)
    low, high = found[LARGE].usd / small.usd, found[LARGEST].usd / small.usd
    met = low >= 8.0 and high <= 60.0
    print(f"\n{'PASS' if met else 'FAIL'}: 70B {low:.1f} times the 8B, 175B {high:.1f}; claimed are 10 to 30")
    return met


def _against_api(small: Cost) -> None:
    print("\nCalls an hour from which one GPU with the 8B costs less than a provider, nothing cached\n")
    print("| model | USD a thousand calls | calls an hour | of what the GPU can do |\n|---|---|---|---|")
    prices = load_prices()
    for name in APIS:
        call = prices.price(name).call(input_tokens=LENGTHS.prompt, output_tokens=LENGTHS.completion)
        usd = 1000 * call
        calls = DEVICES[KIND].price_per_hour / usd * 1e3
        print(f"| {name} | {usd:.3f} | {calls:,.0f} | {calls / 3600 / small.per_s:.1%} |")


def _fleet(large: float, small: float, answered: float) -> float:
    return answered * small + (1 - answered + AUDITED * answered) * large
