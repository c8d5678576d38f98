"""Which members of a group are held back, and how far: decided on validation calls alone.

A member that is above alpha where the group's threshold would be is held to a stricter one. Its few calls
say little about that: of members just below alpha half would look worse, and asked to prove themselves,
hardly any member of 80 calls could. So it takes errors that alpha would produce in fewer than one case of
five. A member whose confidence does not tell right from wrong gets no such benefit of the doubt, for no
threshold would help it: it always defers where its own risk is above alpha. No promise rests on any of this:
what is certified is the group's risk, on calibration calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import mannwhitneyu

from offramp.certify.bounds import p_values
from offramp.certify.exam import prepare
from offramp.certify.threshold import candidates, measure
from offramp.certify.units import Drawing, ScoredCalls, Units, length_cap, natural_unit, validation_units

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offramp.certify.terms import Terms
    from offramp.certify.units import Bools, Floats

SURPRISE: Final = 0.2
"""A member's errors that alpha would produce less often than this are taken for no luck."""
_FEW: Final = 10
"""Answered calls below which a point risk says nothing."""
_ORDERED: Final = 0.05
"""A confidence that says nothing would order answers as well less often than this."""


@dataclass(frozen=True, slots=True)
class _Members:
    """Validation units of a group's members.

    Attributes:
        own: By member.
        ordered: Members whose confidence tells right from wrong.
        terms: What is to be promised.
    """

    own: Mapping[str, Units]
    ordered: frozenset[str]
    terms: Terms

    def luck(self, task: str, thresholds: Floats) -> Floats:
        """Return how often a risk of alpha would produce as many errors as a member has, shape (t,)."""
        seen = measure(self.own[task], thresholds)
        fewer = p_values(seen.answered, np.maximum(seen.errors - 1.0, 0.0), self.terms.alpha)
        return np.where(seen.errors >= 1.0, 1.0 - fewer, 1.0)

    def exceeds(self, task: str, thresholds: Floats) -> Bools:
        """Tell at which thresholds a member seems to be above alpha, shape (t,).

        Where its confidence does not tell right from wrong, it gets no benefit of the doubt.
        """
        above = self.luck(task, thresholds) < SURPRISE
        if task not in self.ordered:
            seen = measure(self.own[task], thresholds)
            above |= (seen.answered >= _FEW) & (seen.errors > self.terms.alpha * seen.answered)
        return np.asarray(above, dtype=np.bool_)

    def floor(self, task: str, above: float) -> float | None:
        """Return the loosest threshold above another at which a member is within alpha; None for none.

        There is none for a member whose confidence does not tell right from wrong (Mann and Whitney 1947, at
        5 %): a stricter threshold would answer fewer of its calls, and no better ones.
        """
        if task not in self.ordered:
            return None
        thresholds = candidates(self.own[task], self.terms.step)
        thresholds = thresholds[thresholds > above]
        fine = np.flatnonzero(~self.exceeds(task, thresholds))
        return float(thresholds[fine[-1]]) if len(fine) else None


def drawing_for(validation: ScoredCalls, terms: Terms) -> Drawing:
    """Decide how units are drawn, with nobody held back: the unit and what a session counts as at most."""
    cap = length_cap(validation)
    return Drawing(terms.unit or natural_unit(cap), terms.seed, cap)


def draw_group(tasks: frozenset[str], validation: ScoredCalls, terms: Terms, sessions: int) -> Drawing:
    """Decide how a group's units are drawn, and which members are held back.

    A member is held back when it exceeds alpha (see ``_Members``) at the threshold that validation promises.
    It then gets a floor, the loosest threshold of its own at which it does not; where there is none, and
    where it has no validation call, it always defers. Holding members back moves the group's threshold, so
    this repeats until everybody is within alpha. From there on the worst members are held back one by one,
    down to the last that is above alpha anywhere: a bad one may keep the others from being answered. Of all
    these states the one with the largest coverage to be certified is taken.

    Args:
        tasks: Ids of the members.
        validation: Their validation calls.
        terms: What is to be promised.
        sessions: How many calibration sessions there will be.
    """
    unseen = tasks - set(validation.task)
    drawing = replace(drawing_for(validation, terms), deferred=unseen)
    own = {task: _own(validation, task, terms) for task in sorted(tasks - unseen)}
    ordered = frozenset(task for task, calls in own.items() if _orders(calls))
    members = _Members(own, ordered, terms)
    drawing, covered = _settled(drawing, members, validation, sessions)
    best = drawing
    while (worst := _worst(members, drawing)) is not None:
        held = _held_back([worst], drawing, members, 0.0)
        drawing, coverage = _settled(held, members, validation, sessions)
        if coverage > covered:
            best, covered = drawing, coverage
    return best


def _own(validation: ScoredCalls, task: str, terms: Terms) -> Units:
    calls = validation.of_task(task)
    return validation_units(calls, drawing_for(calls, terms))


def _settled(
    drawing: Drawing, members: _Members, validation: ScoredCalls, sessions: int
) -> tuple[Drawing, float]:
    """Hold members back that are above alpha at the promised threshold until none is.

    Returns:
        The drawing, and the coverage that validation then promises.
    """
    while True:
        exam = prepare(validation, drawing, members.terms, sessions)
        threshold, coverage = exam.promised(members.terms.delta)
        worse = [
            task
            for task in members.own
            if members.exceeds(task, np.array([max(threshold, drawing.floor(task))]))[0]
        ]
        if not worse:
            return drawing, coverage
        drawing = _held_back(worse, drawing, members, threshold)


def _held_back(tasks: Iterable[str], drawing: Drawing, members: _Members, threshold: float) -> Drawing:
    """Give each task a floor above the threshold and its present floor, or defer it."""
    floors, deferred = dict(drawing.floors), drawing.deferred
    for task in tasks:
        floor = members.floor(task, max(threshold, drawing.floor(task)))
        if floor is None:
            floors.pop(task, None)
            deferred |= {task}
        else:
            floors[task] = floor
    return replace(drawing, floors=floors, deferred=deferred)


def _orders(calls: Units) -> bool:
    """Tell whether right answers are surer than wrong ones, by more than luck."""
    wrong = np.isfinite(calls.error_at)
    right, missed = calls.answer_at[~wrong], calls.answer_at[wrong]
    if not len(right) or not len(missed) or not np.ptp(calls.answer_at):
        return False
    return bool(mannwhitneyu(right, missed, alternative="greater").pvalue <= _ORDERED)


def _worst(members: _Members, drawing: Drawing) -> str | None:
    """Return the member that luck explains least if all above its floor were answered; None for nobody."""
    floors = {task: np.array([drawing.floor(task)]) for task in members.own}
    luck = {
        task: float(members.luck(task, floor)[0])
        for task, floor in floors.items()
        if members.exceeds(task, floor)[0]
    }
    return min(luck, key=lambda task: luck[task], default=None)
