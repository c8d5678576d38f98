from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from offramp.certify.ceiling import LEAST, MOST, SelfAgreement, attainable, self_agreement
from offramp.certify.certificate import certify_task
from offramp.certify.terms import Terms
from offramp.certify.units import ScoredCalls
from offramp.core.call import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence


def answers(*texts: str) -> list[Answer]:
    return [Answer(text) for text in texts]


def same(pairs: Sequence[tuple[Answer, Answer]]) -> list[bool]:
    return [left == right for left, right in pairs]


def test_self_agreement_is_the_mean_over_requests_of_pairs_that_agree() -> None:
    repeated = [answers("a", "a"), answers("a", "b"), answers("a", "a", "b"), answers("once")]
    found = self_agreement(repeated, same)
    assert found.requests == 3
    assert found.share == pytest.approx((1.0 + 0.0 + 1 / 3) / 3)


def test_of_a_request_asked_a_thousand_times_the_first_answers_count() -> None:
    """They are as good as any others, and half a million pairs would be no better known."""
    asked: list[int] = []

    def counting(pairs: Sequence[tuple[Answer, Answer]]) -> list[bool]:
        asked.append(len(pairs))
        return same(pairs)

    found = self_agreement([answers(*"a" * 1_000), answers("a", "b")], counting)
    assert (found.requests, found.share) == (2, 0.5)
    assert asked == [MOST * (MOST - 1) // 2 + 1]


def test_without_repeats_nothing_is_known_and_nothing_changes() -> None:
    found = self_agreement([answers("a")], same)
    assert (found.requests, found.share, found.known) == (0, 1.0, False)
    assert attainable(Terms(), found) == Terms()
    assert attainable(Terms(), SelfAgreement(LEAST - 1, 0.5)) == Terms()


@pytest.mark.parametrize(("share", "alpha"), [(0.99, 0.05), (0.92, 0.09), (0.5, 0.51)])
def test_alpha_is_at_least_what_the_teacher_leaves_room_for(share: float, alpha: float) -> None:
    terms = attainable(Terms(alpha=0.05), SelfAgreement(100, share))
    assert terms.alpha == pytest.approx(alpha)
    assert (terms.asked, terms.self_agreement) == (0.05, share)


@pytest.mark.parametrize(("share", "told"), [(0.92, True), (0.99, False)])
def test_a_certificate_shows_self_agreement_and_tells_where_it_changed_alpha(
    share: float, told: bool
) -> None:
    names = [[f"{tag}{row}" for row in range(200)] for tag in "vc"]
    parts = [
        ScoredCalls(["t"] * 200, one, one, np.full(200, 0.9), np.zeros(200, dtype=np.bool_)) for one in names
    ]
    terms = attainable(Terms(alpha=0.05), SelfAgreement(40, share))
    found = certify_task(("t", "1"), "s", parts[0], parts[1], terms)
    assert (found.asked, found.self_agreement) == (0.05, share)
    assert ("agrees with itself on 92 % of repeated requests, so 9 % was tested" in found.reason) == told
