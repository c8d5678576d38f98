from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.certify.agreement import Pair, agreeing
from offramp.certify.bounds import upper
from offramp.certify.certificate import certify_task
from offramp.certify.judge import JudgeError, Labelled, judge_error, judged
from offramp.certify.terms import Terms
from offramp.certify.units import ScoredCalls
from offramp.core.call import Answer, OutputType
from offramp.core.errors import BadInput
from offramp.core.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class FirstWord:
    """Takes answers for the same that begin alike."""

    name: str = "first word"

    def same(self, pairs: Sequence[Pair], /) -> list[bool]:
        return [pair.ours.text.split()[0] == pair.teacher.text.split()[0] for pair in pairs]


def pair(ours: str, teacher: str, *, same: bool) -> Labelled:
    return Labelled(Pair({}, Answer(ours), Answer(teacher)), same)


def calls(tag: str, n: int, errors: int) -> ScoredCalls:
    names = [f"{tag}{row}" for row in range(n)]
    return ScoredCalls(["t"] * n, names, names, np.full(n, 0.9), np.arange(n) < errors)


def test_a_judges_misses_and_refusals_are_counted_apart() -> None:
    pairs = [
        pair("yes it is", "yes it is not", same=False),
        pair("yes", "no", same=False),
        pair("no", "yes", same=False),
        pair("it is", "yes", same=True),
        pair("yes sir", "yes", same=True),
    ]
    found = judge_error(FirstWord(), pairs)
    assert found == JudgeError("first word", disagreements=3, missed=1, agreements=2, refused=1)
    assert found.miss_upper(0.05) == upper(3, 1, 0.05)


def test_a_judge_that_may_miss_makes_the_test_stricter_and_the_promise_stays() -> None:
    error = JudgeError("j", disagreements=200, missed=10, agreements=100, refused=0)
    terms = judged(Terms(alpha=0.1, delta=0.05), error)
    assert (terms.alpha, terms.delta) == (0.1, 0.05)
    assert terms.tested.alpha == pytest.approx(0.1 * (1.0 - upper(200, 10, 0.025)))
    assert terms.tested.delta == 0.025
    found = certify_task(("t", "1"), "s", calls("v", 300, 3), calls("c", 300, 3), terms)
    assert found.holds
    assert (found.alpha, found.delta, found.measure) == (0.1, 0.05, "as judged by j")
    assert found.risk_upper == pytest.approx(upper(300, 3, 0.025) / (1.0 - upper(200, 10, 0.025)))
    assert (found.judge_misses, found.judge_labelled) == (10, 200)
    assert found.judge_missed == upper(200, 10, 0.025)
    assert f"missed 10 of 200 labelled disagreements, {100 * found.judge_missed:.3g} %" in found.reason


def test_what_a_perfect_measure_certifies_a_poor_judge_does_not() -> None:
    terms, parts = Terms(alpha=0.05), (calls("v", 300, 6), calls("c", 300, 6))
    assert certify_task(("t", "1"), "s", *parts, terms).holds
    poor = judged(terms, JudgeError("j", disagreements=50, missed=20, agreements=50, refused=0))
    refused = certify_task(("t", "1"), "s", *parts, poor)
    assert not refused.holds
    assert refused.members[0].risk_upper > 0.05


@pytest.mark.parametrize(("disagreements", "missed"), [(0, 0), (7, 7)])
def test_a_judge_without_a_measured_error_certifies_nothing(disagreements: int, missed: int) -> None:
    with pytest.raises(BadInput, match="nothing bounds what it misses"):
        judged(Terms(), JudgeError("j", disagreements, missed, agreements=90, refused=0))


def test_a_share_of_misses_of_one_is_refused() -> None:
    with pytest.raises(BadInput, match="judge_missed"):
        Terms(judge_missed=1.0)


def test_with_a_judge_that_misses_the_promise_on_the_true_risk_holds_as_often_as_it_says() -> None:
    """True risk just above alpha, a judge that misses a fifth: certified in at most delta of all samples."""
    rng, alpha, miss, broken = np.random.default_rng(5), 0.1, 0.2, 0
    for repeat in range(300):
        found = int(rng.binomial(150, miss))
        terms = judged(Terms(alpha=alpha), JudgeError("j", 150, found, 0, 0))
        seen = [int(rng.binomial(250, (alpha + 1e-9) * (1.0 - miss))) for _ in range(2)]
        parts = (calls(f"v{repeat}-", 250, seen[0]), calls(f"c{repeat}-", 250, seen[1]))
        broken += certify_task(("t", "1"), "s", *parts, terms).holds
    assert broken <= 25  # 15 expected at most; P(Bin(300, 0.05) > 25) is below 0.5 %


@dataclass
class Wrong:
    """Knows the truth (answers are the same where equal), and errs at planted rates.

    Attributes:
        miss: Share of disagreements that it takes for the same.
        refuse: Share of agreements that it takes for different.
    """

    miss: float
    refuse: float
    rng: np.random.Generator
    name: str = "wrong"

    def same(self, pairs: Sequence[Pair], /) -> list[bool]:
        luck = self.rng.random(len(pairs))
        return [
            bool(u >= self.refuse if pair.ours == pair.teacher else u < self.miss)
            for pair, u in zip(pairs, luck, strict=True)
        ]


def answered(rng: np.random.Generator, n: int, risk: float) -> list[Pair]:
    return [Pair({}, Answer("no" if u < risk else "yes"), Answer("yes")) for u in rng.random(n)]


def judged_calls(tag: str, pairs: Sequence[Pair], judge: Wrong) -> ScoredCalls:
    names = [f"{tag}{row}" for row in range(len(pairs))]
    same = agreeing(OutputType.TEXT, pairs, measure=Measure.JUDGE, judge=judge)
    return ScoredCalls(["t"] * len(pairs), names, names, np.full(len(pairs), 0.9), ~np.array(same))


@pytest.mark.parametrize(("miss", "refuse", "naive_breaks"), [(0.5, 0.0, True), (0.1, 0.02, False)])
def test_planted_errors_of_a_judge_are_found_on_labelled_pairs_and_do_not_break_the_promise(
    miss: float, refuse: float, naive_breaks: bool
) -> None:
    """The true risk is a third above alpha: whatever is certified is wrong, at most 5 % of all repeats.

    Who takes the judge at its word certifies nearly always where it misses half.
    """
    rng, alpha, repeats, broken, naive = np.random.default_rng(11), 0.09, 200, 0, 0
    judge = Wrong(miss, refuse, rng)
    for repeat in range(repeats):
        truth = [Labelled(pair, same=pair.ours == pair.teacher) for pair in answered(rng, 300, 0.5)]
        error = judge_error(judge, truth)
        assert abs(error.missed / error.disagreements - miss) < 0.2
        parts = [judged_calls(f"{tag}{repeat}-", answered(rng, 400, 0.12), judge) for tag in "vc"]
        broken += certify_task(("t", "1"), "s", parts[0], parts[1], judged(Terms(alpha=alpha), error)).holds
        naive += certify_task(("t", "1"), "s", parts[0], parts[1], Terms(alpha=alpha)).holds
    assert broken <= 20  # 10 expected at most; P(Bin(200, 0.05) > 20) is below 0.2 %
    assert (naive > 40) == naive_breaks


def test_a_good_judge_certifies_what_is_good() -> None:
    rng = np.random.default_rng(2)
    judge = Wrong(0.02, 0.0, rng)
    error = judge_error(
        judge, [Labelled(pair, pair.ours == pair.teacher) for pair in answered(rng, 600, 0.5)]
    )
    parts = [judged_calls(tag, answered(rng, 400, 0.01), judge) for tag in "vc"]
    found = certify_task(("t", "1"), "s", parts[0], parts[1], judged(Terms(alpha=0.05), error))
    assert found.holds
    assert 0.0 < found.judge_missed < 0.08


def test_nobody_but_a_judge_decides_what_is_to_be_judged() -> None:
    equal = Pair({}, Answer("yes"), Answer("yes"))
    with pytest.raises(BadInput, match="none is set up"):
        agreeing(OutputType.TEXT, [equal], measure=Measure.JUDGE)
    assert agreeing(OutputType.TEXT, [equal], measure=Measure.TEXT) == [True]
    assert agreeing(OutputType.TEXT, [equal]) == [False]
