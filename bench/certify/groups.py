"""Group certificates through the public function: the pooled promise, and what it does for members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from bench.certify.gates import DELTA
from bench.certify.table import share
from bench.certify.worlds import SHARED, World

from offramp.certify.certificate import certify_group
from offramp.certify.terms import Terms
from offramp.certify.units import ScoredCalls

if TYPE_CHECKING:
    from bench.certify.table import Table

    from offramp.core.certificate import Certificate

ALPHA = 0.1


@dataclass(frozen=True)
class Group:
    """Members of equal traffic; a session holds a call of each, or each call is a session of its own.

    Attributes:
        name: For the table.
        worlds: Risk by member.
        calls: Validation calls of each member, and as many calibration calls.
        together: Whether sessions hold a call of each member, and share confidence and luck.
    """

    name: str
    worlds: dict[str, World]
    calls: int
    together: bool


def groups() -> list[Group]:
    """Six members, the worst 14 times as risky as the best, and one whose confidence says nothing."""
    unequal = {f"t{at}": World(0.02 * (1 + at), 0.3) for at in range(5)}
    worlds = {**unequal, "t5": World(0.28, 0.0)}
    ordered = {**unequal, "t5": World(0.01, 1.2)}
    return [
        Group("one call; a hopeless member", worlds, 80, together=False),
        Group("one call; a member that a floor helps", ordered, 80, together=False),
        Group("6 calls, dependent; a member that a floor helps", ordered, 80, together=True),
    ]


def run(table: Table, repeats: int, *, quick: bool) -> None:
    """Print one line a group."""
    table.title(
        "groups of six members",
        "alpha",
        "n",
        "certified",
        "coverage",
        "broken: offramp",
        "a member above alpha",
        "of those held back",
        "if they were not",
    )
    for number, group in enumerate(groups()[: 1 if quick else None]):
        if table.only in group.name:
            _line(table, group, repeats, np.random.default_rng([77, number]))


def _line(table: Table, group: Group, repeats: int, rng: np.random.Generator) -> None:
    found = [_certificate(group, rng) for _ in range(repeats)]
    served = [_served(one, group) for one in found]
    risks = [[group.worlds[task].risk(at) for task, at in one.items()] for one in served]
    pooled = [
        float(np.average(risk, weights=[1.0 - at for at in one.values()])) if one else 0.0
        for risk, one in zip(risks, served, strict=True)
    ]
    held = [
        group.worlds[member.task].risk(at[member.task]) > ALPHA
        for one, at in zip(found, served, strict=True)
        for member in one.members
        if member.floor and member.task in at
    ]
    free = [
        any(world.risk(one.threshold) > ALPHA for world in group.worlds.values())
        for one in found
        if one.threshold is not None
    ]
    table.line(
        group.name,
        ALPHA,
        group.calls * len(group.worlds),
        f"{np.mean([one.holds for one in found]):.3f}",
        f"{np.mean([one.coverage * one.holds for one in found]):.3f}",
        table.promise(group.name, [risk > ALPHA for risk in pooled]),
        share(any(risk > ALPHA for risk in one) for one in risks),
        share(held) if held else "nobody has a floor",
        share(free) if free else "",
    )


def _certificate(group: Group, rng: np.random.Generator) -> Certificate:
    validation, calibration = (_calls(group, tag, rng) for tag in ("v", "c"))
    terms = Terms(alpha=ALPHA, delta=DELTA)
    return certify_group(dict.fromkeys(group.worlds, "1"), "s", validation, calibration, terms)


def _served(certificate: Certificate, group: Group) -> dict[str, float]:
    """Return the threshold of each member that is answered at all."""
    thresholds = {task: certificate.threshold_of(task) for task in group.worlds}
    return {task: at for task, at in thresholds.items() if at < 1.0}


def _calls(group: Group, tag: str, rng: np.random.Generator) -> ScoredCalls:
    tasks, rows = sorted(group.worlds), group.calls * len(group.worlds)
    session = np.arange(rows) // (len(tasks) if group.together else 1)
    common = rng.random((2, rows))[:, session]
    own, alone = rng.random((2, rows)), rng.random((2, rows)) >= SHARED
    confidence, luck = np.where(alone | (not group.together), own, common)
    names = [tasks[row % len(tasks)] for row in range(rows)]
    chance = np.array([group.worlds[task].chance(at) for task, at in zip(names, confidence, strict=True)])
    return ScoredCalls(
        task=names,
        session=[f"{tag}{at}" for at in session.tolist()],
        call=[f"{tag}/{row}" for row in range(rows)],
        confidence=confidence,
        loss=luck < chance,
    )
