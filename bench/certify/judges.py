"""Certificates of free text: losses as a judge sees them that errs, its error measured on labelled pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from bench.certify.gates import DELTA, exact
from bench.certify.table import share
from bench.certify.worlds import SHAPES, Sample, World, hopeless, rising, samples

from offramp.certify.judge import JudgeError, judged
from offramp.certify.terms import Terms
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from bench.certify.table import Table

ALPHA = 0.1
CALLS = 400


@dataclass(frozen=True)
class Case:
    """One judge.

    Attributes:
        name: For the table.
        miss: Share of the answered calls' disagreements that it takes for the same.
        refuse: Share of their agreements that it takes for different.
        labelled: Labelled disagreements.
        missed: Share of those that it misses: the same, unless labelled pairs are other than answered ones.
    """

    name: str
    miss: float
    refuse: float
    labelled: int
    missed: float | None = None


CASES = (
    Case("misses 2 %, 300 labelled", 0.02, 0.0, 300),
    Case("misses 10 %, refuses 1 %, 300 labelled", 0.1, 0.01, 300),
    Case("misses 10 %, refuses 1 %, 50 labelled", 0.1, 0.01, 50),
    Case("misses 50 %, 300 labelled", 0.5, 0.0, 300),
    Case("misses 10 % of labelled, 40 % of answered", 0.4, 0.0, 300, missed=0.1),
)


def run(table: Table, repeats: int, *, quick: bool) -> None:
    """Print one line a judge and world."""
    table.title(
        "judge; risk",
        "alpha",
        "n",
        "certified",
        "coverage",
        "broken: offramp",
        "error as estimated",
        "taken at its word",
        "coverage, no judge",
    )
    for number, case in enumerate(CASES[1::3] if quick else CASES):
        for name, world in (("through alpha", rising(ALPHA)), ("just above alpha", hopeless(ALPHA))):
            if table.only in f"{case.name}; {name}":
                _line(table, case, name, world, repeats, np.random.default_rng([5, number, len(name)]))


def _line(table: Table, case: Case, name: str, world: World, repeats: int, rng: np.random.Generator) -> None:
    found: dict[str, list[float | None]] = {gate: [] for gate in ("ours", "estimated", "word", "true")}
    drawn = (samples(world, SHAPES[0], CALLS, repeats, rng) for _ in range(2))
    for validation, calibration in zip(*drawn, strict=True):
        seen = [_seen(sample, case, rng) for sample in (validation, calibration)]
        rate = case.miss if case.missed is None else case.missed
        missed = int(rng.binomial(case.labelled, rate))
        found["ours"].append(_ours(seen, JudgeError("j", case.labelled, missed, 0, 0)))
        estimated = ALPHA * (1.0 - missed / case.labelled)
        found["estimated"].append(exact(seen[0].rows, seen[1].rows, estimated) if estimated else None)
        found["word"].append(exact(seen[0].rows, seen[1].rows, ALPHA))
        found["true"].append(exact(validation.rows, calibration.rows, ALPHA))
    wrong = {gate: [world.breaks(one, ALPHA) for one in seen] for gate, seen in found.items()}
    full = f"{case.name}; {name}"
    table.line(
        full,
        ALPHA,
        CALLS,
        f"{np.mean([one is not None for one in found['ours']]):.3f}",
        f"{_coverage(found['ours']):.3f}",
        # Nothing is promised of answers other than those that were labelled.
        table.promise(full, wrong["ours"]) if case.missed is None else share(wrong["ours"]),
        share(wrong["estimated"]),
        share(wrong["word"]),
        f"{_coverage(found['true']):.3f}",
    )


def _coverage(found: list[float | None]) -> float:
    return float(np.mean([0.0 if one is None else 1.0 - one for one in found]))


def _ours(seen: list[Sample], error: JudgeError) -> float | None:
    try:
        terms = judged(Terms(alpha=ALPHA, delta=DELTA), error).tested
    except BadInput:
        return None
    return exact(seen[0].rows, seen[1].rows, terms.alpha, terms.delta)


def _seen(sample: Sample, case: Case, rng: np.random.Generator) -> Sample:
    luck = rng.random(len(sample.loss))
    return replace(sample, loss=np.where(sample.loss, luck >= case.miss, luck < case.refuse))
