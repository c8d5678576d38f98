"""How often the teacher agrees with itself: the ceiling of any agreement with it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from offramp.certify.bounds import attainable_alpha

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from offramp.certify.terms import Terms

T = TypeVar("T")

MOST: Final = 6
"""Answers to one request that are compared, the first ones: pairs grow with their square."""

LEAST: Final = 20
"""Repeated requests from which on a self-agreement counts as known."""


@dataclass(frozen=True, slots=True)
class SelfAgreement:
    """What repeated requests say about the teacher.

    Attributes:
        requests: Requests that were asked twice or more.
        share: Mean over requests of the share of pairs of answers that agree, 0 to 1; 1 without requests.
    """

    requests: int
    share: float

    @property
    def known(self) -> bool:
        """Whether enough requests were repeated."""
        return self.requests >= LEAST


def self_agreement(
    repeated: Iterable[Sequence[T]], same: Callable[[Sequence[tuple[T, T]]], Iterable[bool]]
) -> SelfAgreement:
    """Measure the teacher's agreement with itself.

    Use answers to train and validation calls: what is to be promised is fixed before calibration calls
    are looked at.

    Args:
        repeated: The answers to each request; those asked once say nothing and are left out.
        same: Decides for all pairs at once, by the task's measure.
    """
    asked = [list(itertools.combinations(answers[:MOST], 2)) for answers in repeated if len(answers) > 1]
    decided = iter(same([pair for pairs in asked for pair in pairs]) if asked else ())
    shares = [sum(next(decided) for _ in pairs) / len(pairs) for pairs in asked]
    return SelfAgreement(len(shares), sum(shares) / len(shares) if shares else 1.0)


def attainable(terms: Terms, teacher: SelfAgreement, slack: float = 0.01) -> Terms:
    """Return terms that can be met: alpha becomes ``max(alpha, 1 - A + slack)`` for self-agreement A.

    What was asked for and A go into the certificate beside it. A that is not known changes nothing.

    Args:
        terms: What was asked for.
        teacher: The teacher's self-agreement.
        slack: What a specialist may lose on top.
    """
    if not teacher.known:
        return terms
    alpha = attainable_alpha(terms.alpha, teacher.share, slack)
    return replace(terms, alpha=alpha, asked=terms.alpha, self_agreement=teacher.share)
