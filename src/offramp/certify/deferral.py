"""Which members of a group are held back, and how far: decided on validation calls alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from offramp.certify.bounds import p_values
from offramp.certify.exam import prepare
from offramp.certify.threshold import candidates, measure
from offramp.certify.units import Drawing, ScoredCalls, Units, length_cap, natural_unit, validation_units

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.certify.terms import Terms

_SURPRISE: Final = 0.05
"""Few answered calls hold a member back when alpha would produce their errors less often than this."""
_LUCK: Final = 0.1
"""A threshold of its own helps a member where alpha would show as few errors there at most this often."""


def drawing_for(validation: ScoredCalls, terms: Terms) -> Drawing:
    """Decide how units are drawn, with nobody held back: the unit and what a session counts as at most."""
    cap = length_cap(validation)
    return Drawing(terms.unit or natural_unit(cap), terms.seed, cap)


def draw_group(tasks: frozenset[str], validation: ScoredCalls, terms: Terms, sessions: int) -> Drawing:
    """Decide how a group's units are drawn, and which members are held back.

    A member is held back when its own risk exceeds alpha at the threshold that validation promises: its
    point risk where at least ``terms.min_answered`` calls were answered, otherwise only if alpha would
    produce so many errors in fewer than one case of twenty. It then gets a floor, the loosest threshold of
    its own at which a risk of alpha would have shown as few errors in at most one case of ten; where there
    is none, and where it has no validation call, it always defers. Holding members back moves the group's
    threshold, so this repeats until everybody is within alpha. From there on the worst members are held
    back one by one, down to the last that is above alpha anywhere: a bad one may keep the others from being
    answered. Of all these states the one with the largest coverage to be certified is taken.

    Args:
        tasks: Ids of the members.
        validation: Their validation calls.
        terms: What is to be promised.
        sessions: How many calibration sessions there will be.
    """
    unseen = tasks - set(validation.task)
    drawing = replace(drawing_for(validation, terms), deferred=unseen)
    own = {task: _own(validation, task, terms) for task in sorted(tasks - unseen)}
    drawing = _settled(drawing, own, validation, terms, sessions)
    best, covered = drawing, prepare(validation, drawing, terms, sessions).promised(terms.delta)[1]
    while (worst := _worst(own, drawing, terms)) is not None:
        drawing = _held_back([worst], drawing, own, 0.0, terms)
        drawing = _settled(drawing, own, validation, terms, sessions)
        coverage = prepare(validation, drawing, terms, sessions).promised(terms.delta)[1]
        if coverage > covered:
            best, covered = drawing, coverage
    return best


def _own(validation: ScoredCalls, task: str, terms: Terms) -> Units:
    calls = validation.of_task(task)
    return validation_units(calls, drawing_for(calls, terms))


def _settled(
    drawing: Drawing, own: dict[str, Units], validation: ScoredCalls, terms: Terms, sessions: int
) -> Drawing:
    """Hold members back that are above alpha at the promised threshold until none is."""
    while True:
        threshold, _ = prepare(validation, drawing, terms, sessions).promised(terms.delta)
        worse = [
            task for task, calls in own.items() if _exceeds(calls, max(threshold, drawing.floor(task)), terms)
        ]
        if not worse:
            return drawing
        drawing = _held_back(worse, drawing, own, threshold, terms)


def _held_back(
    tasks: Iterable[str], drawing: Drawing, own: dict[str, Units], threshold: float, terms: Terms
) -> Drawing:
    """Give each task a floor above the threshold and its present floor, or defer it."""
    floors, deferred = dict(drawing.floors), drawing.deferred
    for task in tasks:
        floor = _floor(own[task], max(threshold, drawing.floor(task)), terms)
        if floor is None:
            floors.pop(task, None)
            deferred |= {task}
        else:
            floors[task] = floor
    return replace(drawing, floors=floors, deferred=deferred)


def _floor(calls: Units, above: float, terms: Terms) -> float | None:
    """Return the loosest threshold above another at which a member seems to be within alpha."""
    thresholds = candidates(calls, terms.step)
    curve = measure(calls, thresholds)
    fine = (p_values(curve.answered, curve.errors, terms.alpha) <= _LUCK) & (thresholds > above)
    return float(thresholds[np.flatnonzero(fine)[-1]]) if fine.any() else None


def _exceeds(calls: Units, threshold: float, terms: Terms) -> bool:
    answered, errors = _counts(calls, threshold)
    if answered >= terms.min_answered:
        return errors > terms.alpha * answered
    return errors >= 1.0 and float(p_values(answered, errors - 1.0, terms.alpha)) > 1.0 - _SURPRISE


def _worst(own: dict[str, Units], drawing: Drawing, terms: Terms) -> str | None:
    """Return the riskiest member if all above its floor were answered; None where all are within alpha."""
    counts = {task: _counts(calls, drawing.floor(task)) for task, calls in own.items()}
    risky = {task: (k + 1.0) / (n + 2.0) for task, (n, k) in counts.items() if k > terms.alpha * n}
    return max(risky, key=lambda task: risky[task], default=None)


def _counts(calls: Units, threshold: float) -> tuple[float, float]:
    curve = measure(calls, np.array([threshold]))
    return float(curve.answered[0]), float(curve.errors[0])
