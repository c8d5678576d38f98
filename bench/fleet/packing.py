"""Greedy packing beside CP-SAT: what the exact solver saves, and what is not known of either."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from offramp.app.fleet import sharing_of
from offramp.core.errors import MissingExtra
from offramp.plan.choose import Chooser
from offramp.plan.demand import Choice, Demand, Length, TaskDemand
from offramp.plan.devices import load_devices
from offramp.plan.exact import solve
from offramp.plan.fleet import Fleet, Stock
from offramp.plan.pack import cost_of
from offramp.plan.shape import ModelShape, read_shape

KINDS = ("l4", "l40s", "a100-80gb", "h100")
BASES = ((28, 1024, 0.3), (28, 2048, 0.3), (36, 2560, 0.25), (36, 4096, 0.15))
"""Layers, width and share of the bases: of the sizes of Qwen3 0.6B, 1.7B, 4B and 8B."""


def deployments(count: int, *, seed: int) -> tuple[Demand, dict[str, ModelShape]]:
    """Draw that many models of their own base, with one task each: nothing to group, all to pack.

    Rates are log-normal (median 0.08 calls a second, at most 3), calls of 200, 700 or 1,500 prompt tokens.
    """
    generator = np.random.default_rng(seed)
    shapes, tasks = {}, []
    for number in range(count):
        layers, hidden, _ = BASES[generator.choice(len(BASES), p=[share for *_, share in BASES])]
        shapes[f"b{number}"] = _shape(f"b{number}", layers, hidden)
        prompt, completion = ((200, 8), (700, 40), (1500, 120))[generator.choice(3)]
        lengths = tuple(
            Length(round(prompt * factor), max(1, round(completion * factor)), weight)
            for factor, weight in ((0.5, 0.4), (1.0, 0.4), (2.0, 0.18), (4.0, 0.02))
        )
        rate = float(min(3.0, generator.lognormal(-2.5, 1.2)))
        objective = float(generator.choice([5.0, 15.0, 30.0]))
        choice = Choice(f"s{number}", f"b{number}", 16, 0.9)
        tasks.append(TaskDemand(f"t{number}", (rate,), lengths, objective, (choice,), llm_usd=1.0))
    return Demand(tuple(tasks)), shapes


def report(counts: tuple[int, ...], *, effort: float, seeds: tuple[int, ...] = (1, 2)) -> bool:
    """Print prices of both by number of deployments; whether CP-SAT was never dearer."""
    table = load_devices()
    stocks = tuple(Stock(table[kind], sharing=sharing_of("mps", kind, None)) for kind in KINDS)
    print(f"\nDeployments of one model each on {', '.join(KINDS)} (MPS); {effort:g} deterministic s\n")
    print("| deployments | seed | greedy USD/h | CPU s | CP-SAT USD/h | bound | gap | CPU s | greedy over |")
    print("|---|---|---|---|---|---|---|---|---|")
    met = True
    for count in counts:
        for seed in seeds:
            demand, shapes = deployments(count, seed=seed)
            chooser = Chooser(demand, Fleet(stocks), shapes)
            picked = {task.task: next(iter(chooser.able(task)), None) for task in demand.tasks}
            begun = time.process_time()
            greedy = chooser.needed(chooser.whole(picked))
            packed_s = time.process_time() - begun
            loads = chooser.loads(greedy.groups, greedy.crowd) or []
            begun = time.process_time()
            try:
                found = solve(stocks, loads, greedy.rooms, crowd=greedy.crowd, effort=effort)
            except MissingExtra as error:
                print(error)
                return False
            price = cost_of(found.rooms)[0]
            met &= price <= greedy.devices_usd + 1e-9
            print(
                f"| {count} | {seed} | {greedy.devices_usd:.2f} | {packed_s:.1f} | {price:.2f} "
                f"| {found.bound:.2f} | {found.gap:.1%} | {time.process_time() - begun:.1f} "
                f"| {greedy.devices_usd / price - 1:+.1%} |",
                flush=True,
            )
    print(f"\n{'PASS' if met else 'FAIL'}: CP-SAT is never dearer than greedy")
    return met


def _shape(name: str, layers: int, hidden: int) -> ModelShape:
    config = {
        "model_type": "qwen3",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_attention_heads": max(16, hidden // 128),
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": hidden < 4096,
    }
    return replace(read_shape(config, name=name))
