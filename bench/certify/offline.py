"""Certificates of single tasks, beside gates without a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from bench.certify import gates
from bench.certify.table import share
from bench.certify.worlds import SHAPES, World, hopeless, rising, samples

if TYPE_CHECKING:
    from bench.certify.table import Table
    from bench.certify.worlds import Sample, Shape

BATCH = 50
"""Repeats that are tested together."""


@dataclass(frozen=True)
class Case:
    """One setting.

    Attributes:
        name: For the table.
        world: Its risk.
        shape: Its sessions.
        alpha: What is to be certified.
        sessions: Sessions of validation and of calibration each.
    """

    name: str
    world: World
    shape: Shape
    alpha: float
    sessions: int


def cases(*, quick: bool) -> list[Case]:
    """List the settings."""
    worlds = (("risk through alpha", rising), ("just above alpha", hopeless))
    sizes = ((0.1, 200),) if quick else ((0.1, 200), (0.05, 200), (0.05, 600), (0.02, 600))
    found = [
        Case(f"{name}; {shape.name}", world(alpha), shape, alpha, sessions)
        for name, world in worlds
        for shape in SHAPES
        for alpha, sessions in sizes
        # Six hundred long sessions are many calls and show nothing that two hundred do not.
        if sessions == 200 or shape.cap <= 5
    ]
    refused = Case("to be refused: 2 alpha; 1 to 5 calls, dependent", World(0.1, 0.0), SHAPES[1], 0.05, 600)
    return [*found, refused]


def run(table: Table, repeats: int, *, quick: bool) -> None:
    """Print one line a setting."""
    table.title(
        "risk, sessions",
        "alpha",
        "n",
        "certified",
        "coverage",
        "broken: offramp",
        "one call a session",
        "calls as independent",
        "tuned, then checked",
        "tuned",
    )
    for case in cases(quick=quick):
        if table.only not in case.name:
            continue
        facts = (case.world.floor, case.world.rise, case.alpha)
        seeds = [case.shape.cap, len(case.shape.lengths), case.sessions, *(int(1e6 * fact) for fact in facts)]
        _line(table, case, repeats, np.random.default_rng(seeds))


def _line(table: Table, case: Case, repeats: int, rng: np.random.Generator) -> None:
    found: dict[str, list[float | None]] = {name: [] for name in ("ours", "one", "rows", "checked", "tuned")}
    for start in range(0, repeats, BATCH):
        size = min(BATCH, repeats - start)
        drawn = (samples(case.world, case.shape, case.sessions, size, rng) for _ in range(2))
        _judge(list(zip(*drawn, strict=True)), case, found, rng)
    wrong = {name: [case.world.breaks(one, case.alpha) for one in seen] for name, seen in found.items()}
    covered = [0.0 if one is None else 1.0 - one for one in found["ours"]]
    alike = case.shape.cap == 1
    table.line(
        case.name,
        case.alpha,
        case.sessions,
        f"{np.mean([one is not None for one in found['ours']]):.3f}",
        f"{np.mean(covered):.3f}",
        table.promise(f"{case.name}, alpha {case.alpha}, n {case.sessions}", wrong["ours"]),
        *(["the same"] * 2 if alike else [share(wrong["one"]), share(wrong["rows"])]),
        share(wrong["checked"]),
        share(wrong["tuned"]),
    )


def _judge(
    pairs: list[tuple[Sample, Sample]],
    case: Case,
    found: dict[str, list[float | None]],
    rng: np.random.Generator,
) -> None:
    """Let every gate look at the same calls."""
    alpha = case.alpha
    found["ours"] += gates.certified(pairs, alpha, rng)
    for validation, calibration in pairs:
        naive = gates.tuned(validation, alpha)
        found["tuned"].append(naive)
        found["checked"].append(gates.checked(naive, calibration, alpha))
        if case.shape.cap > 1:
            found["rows"].append(gates.every_row(validation, calibration, alpha))
            found["one"].append(gates.one_a_session(validation, calibration, alpha, rng))
