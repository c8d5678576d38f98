"""Small-model calls and LLM calls on one engine: what the scheduler does for each, beside its baselines.

One A100 with a 14B base and 32 slots: ten specialists are its adapters, LLM calls go to the base itself.
Small calls read 150 tokens (the rest of a prompt is cached) and write 40 within 5 s; LLM calls, one in
twenty, read 600 and write 250. Arrivals are drawn, in five seeds; each figure is of all five together,
percentiles of those calls that were answered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from bench.fleet.worlds import DEVICES, KIND, RANK

from offramp.core.placement import Adapter, EngineMemory, PlacedDevice, PlacedEngine, Placement, Role, Slice
from offramp.core.standing import CallClass
from offramp.plan.memory import EngineFootprint, adapter_bytes, fixed_bytes, weight_bytes
from offramp.plan.shape import read_shape
from offramp.schedule.rules import DEFAULT_CLASSES, Rules
from offramp.simulate.arrivals import Arrivals, Lengths, merged, poisson, read_trace
from offramp.simulate.policy import Ordered, first_come, strict
from offramp.simulate.rates import read_rates
from offramp.simulate.run import Outcome, Stream, simulate
from offramp.simulate.scheduled import Scheduled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from offramp.simulate.engine import Job
    from offramp.simulate.policy import Policy

BASE = "qwen3-14b"
SHAPE = read_shape(
    {
        "model_type": "qwen3",
        "num_hidden_layers": 40,
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
    },
    name=BASE,
)
SPECIALISTS = tuple(f"s{number}" for number in range(10))
SLOTS = 32
SMALL = Lengths(prompt=150, completion=40, cv=0.6, largest=4000)
LLM = Lengths(prompt=600, completion=250, cv=0.8, largest=6000)
SMALL_OBJECTIVE_S, LLM_OBJECTIVE_S = 5.0, 60.0
SMALL_TAKES_S = 2.0
LLM_SHARE = 0.05
SECONDS = 300.0
SEEDS = 5


def engine(names: Sequence[str] = SPECIALISTS, loaded: int = len(SPECIALISTS)) -> Placement:
    """One engine with room for so many adapters at once."""
    weights, fixed = weight_bytes(SHAPE), fixed_bytes(SHAPE, EngineFootprint(sequences=SLOTS))
    adapters = loaded * adapter_bytes(SHAPE, RANK)
    kv = round(0.95 * DEVICES[KIND].memory) - weights - fixed - adapters
    placed = PlacedEngine(
        name=BASE,
        base=BASE,
        role=Role.LLM,
        slices=(Slice(0),),
        memory=EngineMemory(weights, adapters, fixed, kv),
        slots=SLOTS,
        context=16_384,
        adapters=tuple(Adapter(name, RANK) for name in names),
        loaded=loaded,
    )
    return Placement((PlacedDevice(KIND),), (placed,), price_per_hour=DEVICES[KIND].price_per_hour)


def rules(reserve: float) -> Rules:
    """The defaults, with another reserve for the LLM."""
    classes = dict(DEFAULT_CLASSES)
    classes[CallClass.LLM] = replace(classes[CallClass.LLM], reserve=reserve)
    return Rules(classes, lend_s=2.0)


class Impatient(Ordered):
    """First come, first served, but small calls that can hardly be answered in time any more are refused."""

    def __init__(self) -> None:
        """Order by arrival."""
        super().__init__(lambda job: (job.at,))

    def pop(self, engine: int, models: Iterable[str], now: float) -> Job | None:
        """Return the first that is not too late."""
        while (job := super().pop(engine, models, now)) is not None:
            if job.kind is not CallClass.INTERACTIVE or now + SMALL_TAKES_S <= job.deadline:
                return job
        return None


POLICIES: Mapping[str, Callable[[], Policy]] = MappingProxyType(
    {
        "first come, first served": first_come,
        "the same, late small ones refused": Impatient,
        "strict priority for small": strict,
        "scheduler without a reserve": lambda: Scheduled(rules(0.0)),
        "scheduler, 20 % reserved": lambda: Scheduled(rules(0.2)),
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One policy.

    Attributes:
        small: Seconds to the last token of small calls that were answered.
        refused: Share of small calls that were refused.
        within: Share of all small calls that were answered within their objective.
        llm: Seconds to the last token of LLM calls.
        waited: Seconds that LLM calls waited for a slot.
        lost: LLM calls that were not answered.
    """

    small: NDArray[np.float64]
    refused: float
    within: float
    llm: NDArray[np.float64]
    waited: NDArray[np.float64]
    lost: int


def run(streams: Sequence[Stream], policy: Policy, placement: Placement | None = None) -> Outcome:
    """Simulate on the one engine."""
    return simulate(placement or engine(), streams, policy, shapes={BASE: SHAPE}, devices=DEVICES)


def small(rate: float, *, seed: int, start: float = 0.0, end: float = SECONDS) -> list[Stream]:
    """Small-model calls, evenly over the specialists, from one time to another."""
    streams = []
    for number, name in enumerate(SPECIALISTS):
        drawn = poisson(rate / len(SPECIALISTS), end - start, SMALL, seed=100 * seed + number)
        arrivals = Arrivals(drawn.at + start, drawn.prompt, drawn.completion)
        streams.append(Stream(name, arrivals, SMALL_OBJECTIVE_S, rank=0, name="small"))
    return streams


def llm(rate: float, *, seed: int) -> Stream:
    """LLM calls."""
    arrivals = poisson(rate, SECONDS, LLM, seed=100 * seed + 99)
    return Stream(BASE, arrivals, LLM_OBJECTIVE_S, rank=1, name="llm", kind=CallClass.LLM)


def capacity() -> tuple[float, float]:
    """Return small and LLM calls per second that the engine answers when it is never idle."""
    count, generator = 3000, np.random.default_rng(5)
    large = round(count * LLM_SHARE)
    mixed = [
        Stream(SPECIALISTS[0], SMALL.draw(np.zeros(count - large), generator), 1.0),
        Stream(BASE, LLM.draw(np.zeros(large), generator), 1.0),
    ]
    seconds = run(mixed, first_come()).seconds
    return (count - large) / seconds, large / seconds


def flood(rates: tuple[float, float], seed: int) -> list[Stream]:
    """Half the capacity all the time, and for a minute three times the capacity of small calls on top."""
    calm, burst = small(rates[0] / 2, seed=seed), small(3 * rates[0], seed=seed + 50, start=100.0, end=160.0)
    return [*calm, *burst, llm(rates[1] / 2, seed=seed)]


def overload(rates: tuple[float, float], seed: int) -> list[Stream]:
    """A fifth more than the capacity, all the time."""
    return [*small(1.2 * rates[0], seed=seed), llm(1.2 * rates[1], seed=seed)]


def traced(folder: Path, rates: tuple[float, float], seed: int) -> list[Stream]:
    """120 % of the capacity by real arrivals: ServeGen's bursts for small calls, Azure's for the LLM's.

    ServeGen has rates and variations only, so lengths are drawn; Azure's calls keep their own. Both are
    sped up or thinned to the rates wanted.
    """
    start = 86_400.0 + 3600.0 * seed
    served = _rates(folder / "servegen_m-small_rates.csv.gz").scaled(0.02)
    clients = range(len(served.clients))
    parts = [served.draw(client, start, start + SECONDS, SMALL, seed=seed) for client in clients]
    whole = merged(parts)
    generator = np.random.default_rng(seed)
    kept = generator.random(len(whole)) < 1.2 * rates[0] * SECONDS / len(whole)
    owner = generator.integers(len(SPECIALISTS), size=len(whole))
    streams = []
    for number, name in enumerate(SPECIALISTS):
        part = whole.where(kept & (owner == number))
        streams.append(Stream(name, part, SMALL_OBJECTIVE_S, name="small"))
    azure = read_trace(folder / "azure2023_conv.csv.gz").between(600.0 * seed, 600.0 * seed + SECONDS)
    picked = generator.random(len(azure)) < 1.2 * rates[1] * SECONDS / len(azure)
    return [
        *streams,
        Stream(BASE, azure.where(picked), LLM_OBJECTIVE_S, rank=1, name="llm", kind=CallClass.LLM),
    ]


_rates = cache(read_rates)


def row(outcomes: Sequence[Outcome]) -> Row:
    """Put the seeds of one policy together."""
    parts: dict[str, list[NDArray[np.float64]]] = {"small": [], "llm": [], "waited": []}
    asked = refused = within = lost = 0
    for outcome in outcomes:
        large = outcome.stream == len(outcome.streams) - 1
        took, answered = outcome.finished - outcome.at, np.isfinite(outcome.finished)
        parts["small"].append(took[~large & answered])
        parts["llm"].append(took[large & answered])
        parts["waited"].append((outcome.dispatched - outcome.at)[large & answered])
        asked += int((~large).sum())
        refused += int((~large & ~answered).sum())
        within += int((took[~large & answered] <= SMALL_OBJECTIVE_S).sum())
        lost += int((large & ~answered).sum())
    together = {name: np.concatenate(values) for name, values in parts.items()}
    asked = max(asked, 1)
    return Row(together["small"], refused / asked, within / asked, together["llm"], together["waited"], lost)


def table(title: str, rows: Mapping[str, Row]) -> None:
    """Print rows."""
    print(f"\n{title}\n")
    print(
        "| policy | small p50 / p95 s | small refused | small within 5 s | LLM p50 / p99 s "
        "| LLM waits p50 / p99 s | LLM lost |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, one in rows.items():
        few, many, wait = (
            np.percentile(values, which)
            for values, which in ((one.small, (50, 95)), (one.llm, (50, 99)), (one.waited, (50, 99)))
        )
        print(
            f"| {name} | {few[0]:.1f} / {few[1]:.1f} | {one.refused:.0%} | {one.within:.0%} "
            f"| {many[0]:.1f} / {many[1]:.1f} | {wait[0]:.1f} / {wait[1]:.1f} | {one.lost} |",
            flush=True,
        )


def over_committed(rate: float) -> bool:
    """Print what room for a quarter of the adapters costs; whether every call was answered."""
    names = [f"s{number:02d}" for number in range(40)]
    print(
        "\n40 adapters on the engine, tool calls, bursts of four times the mean rate (60 % of the capacity)\n"
    )
    print("| adapters held | calls | lost | p50 / p95 / p99 s | loads |")
    print("|---|---|---|---|---|")
    met = True
    for loaded in (40, 20, 10):
        calls = lost = loads = 0
        took = []
        for seed in range(1, SEEDS + 1):
            streams = [
                Stream(
                    name, bursts(0.6 * rate / len(names), seed=100 * seed + number), 60.0, kind=CallClass.TOOL
                )
                for number, name in enumerate(names)
            ]
            outcome = run(streams, Scheduled(rules(0.0)), engine(names, loaded))
            answered = np.isfinite(outcome.finished)
            took.append((outcome.finished - outcome.at)[answered])
            calls, lost = calls + len(answered), lost + int((~answered).sum())
            loads += outcome.engines[0].counts.loads
        p50, p95, p99 = np.percentile(np.concatenate(took), (50, 95, 99))
        print(f"| {loaded} | {calls:,} | {lost} | {p50:.1f} / {p95:.1f} / {p99:.1f} | {loads / calls:.0%} |")
        met &= lost == 0
    print(f"\n{_verdict(met)}: four adapters for one place, and no call is lost")
    return met


def bursts(rate: float, *, seed: int) -> Arrivals:
    """Draw arrivals of one specialist: a fifth of the time at four times the mean rate."""
    generator = np.random.default_rng(seed)
    parts = []
    for start in np.arange(0.0, SECONDS, 15.0):
        now = rate * (4.0 if generator.random() < 0.2 else 0.25)
        count = generator.poisson(now * 15.0)
        parts.append(np.sort(start + 15.0 * generator.random(count)))
    return SMALL.draw(np.concatenate(parts), generator)


def report(folder: Path | None = None) -> bool:
    """Print the flood and the overload; whether the scheduler with a reserve kept both promises.

    Args:
        folder: Of the traces; without it, only drawn arrivals are run.
    """
    rates = capacity()
    print(f"\nOne {KIND}, {BASE}: {rates[0]:.1f} small and {rates[1]:.2f} LLM calls a second are 100 %")
    seeds = range(1, SEEDS + 1)
    quiet = row([run([llm(rates[1] / 2, seed=seed)], first_come()) for seed in seeds])
    alone = float(np.percentile(quiet.llm, 99))
    found = {}
    for title, load in (("A flood of small calls for a minute", flood), ("120 % of the capacity", overload)):
        rows = {
            name: row([run(load(rates, seed), make()) for seed in seeds]) for name, make in POLICIES.items()
        }
        table(title, rows)
        found[title] = rows["scheduler, 20 % reserved"]
    flooded, loaded = found.values()
    kept = float(np.percentile(flooded.waited, 99)) <= rules(0.2).lend_s
    print(f"\nLLM calls without any small ones: p99 {alone:.1f} s")
    print(f"{_verdict(kept)}: under the flood, 99 % of LLM calls wait no longer than a loan lasts (2 s)")
    met = [kept, _bounded("at 120 %", loaded)]
    if folder is not None:
        rows = {
            name: row([run(traced(folder, rates, seed), make()) for seed in seeds])
            for name, make in POLICIES.items()
        }
        table("120 %, arrivals of ServeGen (small) and Azure 2023 conversation (LLM)", rows)
        met.append(_bounded("at 120 % of real arrivals", rows["scheduler, 20 % reserved"]))
    return all((*met, over_committed(rates[0])))


def _bounded(when: str, found: Row) -> bool:
    in_time = float(np.percentile(found.small, 95)) <= SMALL_OBJECTIVE_S
    bounded = float(np.percentile(found.waited, 99)) <= LLM_OBJECTIVE_S / 2
    print(f"\n{_verdict(in_time)}: {when}, small calls' p95 is within their objective (5 s)")
    print(f"{_verdict(bounded)}: {when}, 99 % of LLM calls wait no longer than half their objective (30 s)")
    return in_time and bounded


def _verdict(met: bool) -> str:  # noqa: FBT001 - a verdict is one
    return "PASS" if met else "FAIL"
