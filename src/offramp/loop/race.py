"""The slow candidates' race: on a part of the calls first, so that a night trains in full what may win.

Successive halving with two rungs, in which training calls are what is spent (Jamieson and Talwalkar,
1502.07943). It takes for granted that what is clearly behind on a part stays behind on the whole. A candidate
leaves only where even the upper end of its expected coverage is below the best's by more than the choice's
margin; or where its expected coverage itself is that far below another's that trains and is cheaper to run.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.core.errors import OfframpError
from offramp.core.ladder import LADDER
from offramp.loop.candidates import candidate_of
from offramp.loop.ladder import make, was_made
from offramp.loop.score import held_out_confidence, score
from offramp.loop.workshop import Brief
from offramp.select import LEAST_COVERAGE, MARGIN, coverage_range, expected_coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.dataset import Item
    from offramp.loop.workshop import Workshop
    from offramp.select import Trial

SLOW = 0.02
"""`Candidate.effort` from which a kind runs in the race."""

PART = 0.25
"""Share of the training sessions that the race trains on."""

LEAST_TRAINED = 200
"""Training calls below which a part says nothing, and training in full costs little."""

MOST_ASKED = 400
"""Validation calls of the race at most, whole sessions."""

EVEN = 0.5
"""Delta of the race: with the few calls of a part, a bound that is to hold would tell nothing apart."""


@dataclass(frozen=True, slots=True)
class _Ran:
    """One kind on the part: its expected coverage, and the range that it may lie in."""

    coverage: float
    high: float


def is_slow(kind: str) -> bool:
    """Whether a kind trains for so long that it runs in the race first."""
    return candidate_of(kind).effort >= SLOW


def left_out(
    kinds: Sequence[str],
    brief: Brief,
    workshop: Workshop,
    measured: Sequence[Trial],
    alpha: float,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Tell which slow kinds need not be trained in full, and why.

    Args:
        kinds: The slow kinds.
        brief: What they are for.
        workshop: What they are made with; what the race makes is gone afterwards.
        measured: The quick kinds, measured in full.
        alpha: Largest risk.
        say: Told how each did.
    """
    kinds = [kind for kind in kinds if _may_run(kind, brief, workshop)]
    best = max(measured, key=lambda trial: trial.coverage, default=None)
    if best is not None and best.coverage >= 1.0 - MARGIN:
        reason = f"{best.kind} could answer {best.coverage:.0%} already: nothing can be better by more than"
        return dict.fromkeys(kinds, f"{reason} {100 * MARGIN:.0f} points")
    quick = [best.kind] if best is not None and best.coverage >= LEAST_COVERAGE else []
    if not kinds or len(kinds) + len(quick) < 2:
        return {}
    part = part_of(brief, trained=PART * len(brief.train), seed=workshop.seed)
    if len(part.train) < LEAST_TRAINED or not part.dataset.parts["validation"]:
        return {}
    workshop.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workshop.folder, prefix="probe-") as scratch:
        return _raced([*quick, *kinds], kinds, part, replace(workshop, folder=Path(scratch)), alpha, say)


def _may_run(kind: str, brief: Brief, workshop: Workshop) -> bool:
    """Whether a kind can do the tasks and has not been trained on these calls before."""
    return not candidate_of(kind).can(brief, workshop) and not was_made(kind, brief, workshop)


def part_of(brief: Brief, *, trained: float, asked: int = MOST_ASKED, seed: int = 0) -> Brief:
    """Take a part of the sessions, the same for the same seed; calibration calls are none of it.

    Args:
        brief: The whole.
        trained: Training calls at most.
        asked: Validation calls at most.
        seed: Seed of the draw.
    """
    parts = {
        "train": _drawn(brief.train, trained, seed),
        "validation": _drawn(brief.dataset.parts["validation"], asked, seed),
    }
    nothing = dict.fromkeys(brief.dataset.parts, ())
    return Brief(brief.unit, replace(brief.dataset, parts={**nothing, **parts}, repeats=nothing))


def _raced(
    running: Sequence[str],
    kinds: Sequence[str],
    part: Brief,
    workshop: Workshop,
    alpha: float,
    say: Callable[[str], None],
) -> dict[str, str]:
    left: dict[str, str] = {}
    ran: dict[str, _Ran] = {}
    for kind in running:
        try:
            ran[kind] = _run(kind, part, workshop, alpha)
        except OfframpError as error:
            left[kind] = str(error)
            continue
        say(f"    {kind} on {len(part.train)} of the training calls: could answer {ran[kind].coverage:.0%}")
    if ran:
        first = max(ran, key=lambda kind: ran[kind].coverage)
        for kind, found in ran.items():
            # One that is dearer to run than another that trains would have to be better, and is not here.
            cheaper = [ran[one].coverage for one in ran if one in kinds and _before(one, kind)]
            behind = found.coverage < max(cheaper, default=0.0) - MARGIN
            if behind or found.high < ran[first].coverage - MARGIN:
                left[kind] = (
                    f"on {len(part.train)} of the training calls it could answer {found.coverage:.0%} "
                    f"({found.high:.0%} at most), {first} {ran[first].coverage:.0%}: not trained in full"
                )
    return {kind: reason for kind, reason in left.items() if kind in kinds}


def _before(one: str, other: str) -> bool:
    """Whether a kind is cheaper to run than another."""
    return LADDER.index(one) < LADDER.index(other)


def _run(kind: str, part: Brief, workshop: Workshop, alpha: float) -> _Ran:
    rows = part.dataset.parts["validation"]
    scores = score(make(kind, part, workshop), rows, judge=workshop.judge)
    sessions = [row.call.session for row in rows]
    confidence = held_out_confidence(scores, sessions)
    bound = (alpha, EVEN)
    _, high = coverage_range(confidence, scores.loss, sessions, bound, seed=workshop.seed)
    return _Ran(expected_coverage(confidence, scores.loss, *bound), high)


def _drawn(items: Sequence[Item], most: float, seed: int) -> tuple[Item, ...]:
    """Draw whole sessions of at most so many calls together, at least one, and keep the calls' order."""
    sessions = sorted({item.call.session for item in items})
    random.Random(seed).shuffle(sessions)  # noqa: S311 - an order of sessions, no secret
    calls: dict[str, int] = {}
    for item in items:
        calls[item.call.session] = calls.get(item.call.session, 0) + 1
    taken: set[str] = set()
    total = 0
    for session in sessions:
        if total + calls[session] > most and taken:
            break
        taken.add(session)
        total += calls[session]
    return tuple(item for item in items if item.call.session in taken)
