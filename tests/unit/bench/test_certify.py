from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bench.certify import gates, judges, online
from bench.certify.table import Table
from bench.certify.worlds import SHAPES, World, hopeless, rising, samples

from offramp.certify.exam import prepare, sit
from offramp.certify.terms import Terms
from offramp.certify.units import Drawing, ScoredCalls, Unit

if TYPE_CHECKING:
    from bench.certify.worlds import Sample, Shape


def columns(sample: Sample, tag: str) -> ScoredCalls:
    session = [f"{tag}{number:04}" for number in sample.session]
    rows = len(session)
    return ScoredCalls(
        ["t"] * rows,
        session,
        [f"{tag}/{row}" for row in range(rows)],
        sample.confidence,
        sample.loss,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_worlds_risk_is_the_share_of_calls_that_disagree(shape: Shape) -> None:
    world, errors, answered = rising(0.1), 0.0, 0.0
    for sample in samples(world, shape, 4000, 3, np.random.default_rng(1)):
        held = sample.confidence >= 0.4
        errors += float((held & sample.loss).sum())
        answered += float(held.sum())
    assert errors / answered == pytest.approx(world.risk(0.4), abs=0.008)


def test_many_repeats_at_a_time_certify_what_one_does() -> None:
    """The order of sessions is another one, so the certified thresholds are alike and not the same."""
    shape, alpha, rng = SHAPES[1], 0.1, np.random.default_rng(2)
    pairs = list(zip(*(samples(rising(alpha), shape, 300, 12, rng) for _ in range(2)), strict=True))
    together = gates.certified(pairs, alpha, rng)
    drawing, terms = Drawing(Unit.EVERY, cap=shape.cap), Terms(alpha=alpha, delta=gates.DELTA)
    alone = []
    for validation, calibration in pairs:
        exam = prepare(columns(validation, "v"), drawing, terms, 300)
        alone.append(sit(exam, columns(calibration, "c"), alpha, gates.DELTA).threshold)
    found = [(one, other) for one, other in zip(together, alone, strict=True) if one and other]
    assert len(found) >= 4
    assert np.mean([one - other for one, other in found]) == pytest.approx(0.0, abs=0.1)


def test_a_naive_gate_breaks_where_ours_does_not() -> None:
    world, rng = hopeless(0.1), np.random.default_rng(3)
    pairs = list(zip(*(samples(world, SHAPES[0], 200, 60, rng) for _ in range(2)), strict=True))
    ours = sum(world.breaks(one, 0.1) for one in gates.certified(pairs, 0.1, rng))
    naive = sum(world.breaks(gates.tuned(validation, 0.1), 0.1) for validation, _ in pairs)
    assert ours <= 9  # P(Bin(60, 0.05) > 9) is below 0.1 %
    assert naive > 40


def test_a_gate_that_answers_nothing_breaks_nothing() -> None:
    assert not World(1.0, 0.0).breaks(None, 0.1)
    (sample,) = samples(World(0.9, 0.0), SHAPES[0], 100, 1, np.random.default_rng(4))
    assert gates.tuned(sample, 0.05) is None
    assert gates.checked(None, sample, 0.05) is None
    assert gates.checked(0.5, sample, 0.05) is None
    assert gates.checked(0.5, sample, 0.99) == 0.5


def test_a_planted_drift_is_found_and_a_quiet_specialist_left_alone() -> None:
    rng = np.random.default_rng(5)
    assert bool(np.all(online.audit_stops(np.full(300, 0.5), 20, rng) > 0))
    assert not bool(np.any(online.audit_stops(np.zeros(300), 20, rng)))


@pytest.mark.parametrize(("wrong", "broken"), [(5, []), (12, []), (20, ["p"])])
def test_only_a_share_that_chance_hardly_makes_counts_as_broken(wrong: int, broken: list[str]) -> None:
    table = Table()
    told = table.promise("p", [row < wrong for row in range(100)])
    assert told.startswith(f"{wrong / 100:.3f} [")
    assert (table.checked, table.broken) == (1, broken)


def test_a_judge_taken_at_its_word_breaks_what_a_measured_one_keeps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table(only="misses 50 %")
    judges.run(table, 60, quick=False)
    assert (table.checked, table.broken) == (2, [])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("misses")]
    words = [float(re.findall(r"\d\.\d{3}(?= \[)", line)[2]) for line in lines]
    assert min(words) > 0.7
