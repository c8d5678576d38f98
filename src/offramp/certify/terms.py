"""What a certificate is to promise, and how delta is spent over many of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.certify.bounds import check_share
from offramp.certify.threshold import STEP
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.certify.units import Unit


@dataclass(frozen=True, slots=True)
class Terms:
    """What a certificate is to promise, and how it may be found; fixed before any data are looked at.

    Attributes:
        alpha: Largest share of answered calls that may disagree.
        delta: Probability of the certificate being wrong; its part of the total, see ``spend``.
        unit: What is counted; None: every call where validation sessions have several, and one call a
            session where they have one. Either way the promise is on a share of all calls.
        mix_tolerance: Total variation distance beyond which another mix voids a group certificate.
        step: Distance of neighbouring thresholds in validation coverage.
        seed: For drawing one call per session, and for the order in which sessions are bet on.
        measure: What agreement means here, for the certificate.
        asked: The alpha that was asked for, where the teacher's self-agreement made it a larger one.
        self_agreement: How often the teacher agrees with itself, where that is known.
        judge_missed: Bound on the share of disagreements that the judge who decided the losses misses, at
            half of delta; 0 where no judge was needed.
        judge_labelled: Labelled disagreements that the bound rests on.
        judge_misses: Of those, how many the judge missed.
    """

    alpha: float = 0.05
    delta: float = 0.05
    unit: Unit | None = None
    mix_tolerance: float = 0.1
    step: float = STEP
    seed: int = 0
    measure: str = ""
    asked: float | None = None
    self_agreement: float | None = None
    judge_missed: float = 0.0
    judge_labelled: int = 0
    judge_misses: int = 0

    def __post_init__(self) -> None:
        for name in ("alpha", "delta", "mix_tolerance", "step"):
            check_share(name, getattr(self, name))
        if not 0.0 <= self.judge_missed < 1.0:
            raise BadInput(f"judge_missed is {self.judge_missed}; it must be 0 or more, and below 1.")

    @property
    def tested(self) -> Terms:
        """The terms that losses have to meet: a judge's misses make alpha smaller, and cost half of delta."""
        if not self.judge_missed:
            return self
        alpha, delta = self.alpha * (1.0 - self.judge_missed), self.delta / 2.0
        return replace(self, alpha=alpha, delta=delta, judge_missed=0.0)


def spend(delta: float, tasks: int, round_: int) -> float:
    """Return the delta of one certificate, so that all certificates ever issued hold at once.

    Round r (1, 2, ...) of certifying may spend ``delta / (r (r + 1))``, which sums to delta over all
    rounds, in equal parts on the certificates sought in it. The number of tasks may change from round
    to round; a round counts as soon as calibration calls were looked at, certified or not.

    Args:
        delta: Probability that any certificate is wrong, over the whole life of an installation.
        tasks: Certificates sought in this round (a group counts as one).
        round_: Number of the round, from 1.

    Raises:
        BadInput: A count below 1.
    """
    check_share("delta", delta)
    if tasks < 1 or round_ < 1:
        raise BadInput(f"tasks is {tasks} and the round is {round_}; both count from 1.")
    return delta / (tasks * round_ * (round_ + 1))
