from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.certify.bounds import calls_for, upper
from offramp.certify.certificate import certify_group, certify_task, mix_holds
from offramp.certify.terms import Terms
from offramp.certify.units import ScoredCalls, Unit
from offramp.core.certificate import Certificate
from offramp.core.errors import BadInput

TERMS = Terms(alpha=0.1, delta=0.05)
NONE = ScoredCalls([], [], [], np.empty(0), np.empty(0, dtype=np.bool_))


def calls(tag: str, n: int, risk: float = 0.0, *, task: str = "t", a_session: int = 1) -> ScoredCalls:
    """Calls of which the less confident disagree more, with this risk over all."""
    rng = np.random.default_rng([ord(letter) for letter in tag + task])
    confidence = rng.uniform(0.5, 1.0, n)
    return ScoredCalls(
        task=[task] * n,
        session=[f"{tag}-{task}-{row // a_session}" for row in range(n)],
        call=[f"{tag}-{task}-call-{row}" for row in range(n)],
        confidence=confidence,
        loss=rng.random(n) < risk * 24.0 * (1.0 - confidence) ** 2 / 2.0,
    )


def together(*parts: ScoredCalls) -> ScoredCalls:
    return ScoredCalls(
        task=[task for part in parts for task in part.task],
        session=[session for part in parts for session in part.session],
        call=[call for part in parts for call in part.call],
        confidence=np.concatenate([part.confidence for part in parts]),
        loss=np.concatenate([part.loss for part in parts]),
    )


def one_task(validation: ScoredCalls, calibration: ScoredCalls, terms: Terms = TERMS) -> Certificate:
    return certify_task(("t", "v1"), "s", validation, calibration, terms)


def group(parts: dict[str, float], n: int = 300, terms: Terms = TERMS) -> Certificate:
    """Certify members with these risks."""
    both = [
        together(*(calls(tag, n, risk, task=task) for task, risk in parts.items())) for tag in ("val", "cal")
    ]
    return certify_group(dict.fromkeys(parts, "v1"), "s", both[0], both[1], terms)


def test_a_good_task_is_certified_with_all_its_facts() -> None:
    found = one_task(calls("val", 300, 0.02), calls("cal", 400, 0.02))
    assert found.holds
    assert (found.scope, found.tasks, found.versions, found.specialist) == ("task", ("t",), ("v1",), "s")
    assert (found.alpha, found.delta, found.unit) == (0.1, 0.05, "one call per session")
    assert (found.n, found.mix, found.calls_needed) == (400, {"t": 1.0}, None)
    assert found.coverage == found.answered / 400 > 0.5
    assert found.risk == found.errors / found.answered == found.risk_per_call
    assert found.risk_upper == upper(found.answered, found.errors, 0.05) <= 0.1
    assert found.reason.startswith("Risk at most 10 % at confidence 95 %")


@pytest.mark.parametrize(("a_session", "unit"), [(1, Unit.CALL), (3, Unit.EVERY)])
def test_the_unit_follows_from_the_sessions_and_the_only_member_has_the_tasks_figures(
    a_session: int, unit: Unit
) -> None:
    validation, calibration = (calls(tag, 600, 0.02, a_session=a_session) for tag in ("val", "cal"))
    found = one_task(validation, calibration)
    (member,) = found.members
    assert (found.unit, found.cap, found.n, found.sessions) == (unit, a_session, 600, 600 // a_session)
    assert (member.n, member.answered, member.errors) == (found.n, found.answered, found.errors)
    assert (member.risk_upper, member.deferred, member.calls_needed) == (found.risk_upper, False, 0)


def test_a_task_above_alpha_everywhere_is_refused_and_more_calls_are_not_asked_for() -> None:
    rng = np.random.default_rng(0)
    parts = [dataclasses.replace(calls(tag, 600), loss=rng.random(600) < 0.3) for tag in ("val", "cal")]
    found = one_task(parts[0], parts[1])
    assert (found.holds, found.threshold, found.calls_needed) == (False, None, None)
    assert found.reason.startswith("Keep the LLM")
    assert "too high where the tests start" in found.reason
    assert found.risk > 0.1
    assert found.threshold_of("t") == math.inf


def test_too_few_calls_are_refused_with_the_number_that_is_missing() -> None:
    found = one_task(calls("val", 300), calls("cal", 20))
    assert found.holds is False
    assert found.calls_needed == calls_for(0.1, 0.05) - 20 == 9
    assert "about 9 more units" in found.reason


def test_without_calibration_calls_validation_says_how_many_are_needed() -> None:
    found = one_task(calls("val", 100), NONE)
    assert (found.n, found.coverage, found.risk_upper) == (0, 0.0, 1.0)
    assert found.calls_needed == calls_for(0.1, 0.05)


def test_without_validation_calls_nothing_is_tested() -> None:
    found = one_task(NONE, calls("cal", 500))
    assert (found.holds, found.n, found.answered, found.calls_needed) == (False, 500, 0, None)
    assert "no threshold to test" in found.reason
    assert found.members[0].calls_needed is None


def test_a_wrong_order_of_confidence_is_refused_but_may_do_with_more_calls() -> None:
    validation = calls("val", 300)
    rng = np.random.default_rng(1)
    calibration = dataclasses.replace(calls("cal", 300), loss=rng.random(300) < 0.08)
    found = one_task(validation, calibration)
    assert not found.holds
    assert found.calls_needed is not None
    assert found.calls_needed > 100


def worse_long_sessions(tag: str) -> ScoredCalls:
    """Two hundred sessions of one good call, forty of forty calls of which an eighth disagree."""
    rng = np.random.default_rng(len(tag))
    lengths = np.array([1] * 200 + [40] * 40)
    rows = int(lengths.sum())
    session = np.repeat(np.arange(240), lengths).tolist()
    return ScoredCalls(
        task=["t"] * rows,
        session=[f"{tag}{at}" for at in session],
        call=[f"{tag}call{row}" for row in range(rows)],
        confidence=rng.uniform(0.5, 1.0, rows),
        loss=(np.repeat(lengths, lengths) == 40) & (rng.random(rows) < 0.125),
    )


@pytest.mark.parametrize("unit", [None, Unit.WEIGHTED])
def test_a_share_of_all_calls_sees_long_sessions_for_what_they_are(unit: Unit | None) -> None:
    terms = Terms(alpha=0.1, unit=unit)
    found = one_task(worse_long_sessions("val"), worse_long_sessions("calib"), terms)
    assert not found.holds
    assert found.risk_upper > 0.1
    assert found.risk_per_call > 0.1


def test_one_call_a_session_promises_what_it_says_and_shows_the_share_of_all_calls_beside_it() -> None:
    terms = Terms(alpha=0.1, unit=Unit.CALL)
    found = one_task(worse_long_sessions("val"), worse_long_sessions("calib"), terms)
    assert found.holds
    assert found.risk_upper <= 0.1 < found.risk_per_call


def test_too_few_sessions_are_refused_with_the_calls_that_are_missing() -> None:
    found = one_task(calls("val", 300, a_session=3), calls("cal", 30, a_session=3))
    assert (found.holds, found.unit) == (False, Unit.EVERY)
    assert found.calls_needed is not None
    assert 20 < found.calls_needed < 300
    assert f"about {found.calls_needed} more calls" in found.reason


def test_without_calibration_sessions_validation_says_how_many_calls_are_needed() -> None:
    found = one_task(calls("val", 300, a_session=3), NONE)
    assert (found.n, found.sessions, found.risk_upper) == (0, 0, 1.0)
    assert found.calls_needed is not None
    assert 29 <= found.calls_needed < 300


def test_a_session_level_certificate_counts_sessions() -> None:
    terms = Terms(alpha=0.1, unit=Unit.SESSION)
    found = one_task(calls("val", 900, 0.005, a_session=3), calls("cal", 900, 0.005, a_session=3), terms)
    assert found.holds
    assert found.n == 300
    assert found.unit == "one session, in which any disagreement counts"
    assert found.risk >= found.risk_per_call


def test_a_group_reports_each_member_beside_the_pooled_promise() -> None:
    found = group({"a": 0.01, "b": 0.03})
    assert found.holds
    assert (found.scope, found.tasks, found.n) == ("group", ("a", "b"), 600)
    assert found.mix == {"a": 0.5, "b": 0.5}
    assert sum(member.answered for member in found.members) == found.answered
    assert sum(member.errors for member in found.members) == found.errors
    for member in found.members:
        assert member.n == 300
        assert member.risk_upper == upper(member.answered, member.errors, 0.05)


def test_a_member_too_risky_on_validation_is_held_to_a_stricter_threshold_of_its_own() -> None:
    found = group({"bad": 0.35, "good": 0.01, "fine": 0.02})
    assert found.holds
    assert found.threshold is not None
    bad, *others = found.members
    assert bad.floor > found.threshold
    thresholds = [found.threshold_of(task) for task in ("bad", "good", "stranger")]
    assert thresholds == [bad.floor, found.threshold, math.inf]
    assert (bad.deferred, bad.answered > 0, bad.risk <= 0.1) == (False, True, True)
    assert [(member.floor, member.deferred) for member in others] == [(0.0, False)] * 2
    assert found.answered == sum(member.answered for member in found.members)
    assert found.coverage < 1.0


def test_members_that_no_threshold_helps_defer_and_lower_the_coverage() -> None:
    parts = [
        together(shuffled(tag, {"b": 0.35}, 300), calls(tag, 300, 0.01, task="good"))
        for tag in ("val", "calib")
    ]
    found = certify_group(dict.fromkeys(("b", "good"), "v1"), "s", parts[0], parts[1], TERMS)
    assert found.holds
    assert [(member.deferred, member.floor) for member in found.members] == [(True, 0.0), (False, 0.0)]
    assert found.coverage <= 0.5
    assert found.members[0].risk > 0.1
    assert found.members[0].calls_needed is None
    assert found.answered == found.members[1].answered


def test_holding_one_member_back_can_hold_another_back() -> None:
    held = {
        member.task
        for member in group({"worst": 0.6, "bad": 0.2, "good": 0.0}).members
        if member.floor or member.deferred
    }
    assert held == {"worst", "bad"}


def test_a_group_of_long_sessions_counts_each_member_as_its_own_sessions_lie() -> None:
    parts = [
        together(calls(tag, 600, 0.02, task="long", a_session=4), calls(tag, 300, 0.02, task="single"))
        for tag in ("val", "cal")
    ]
    found = certify_group(dict.fromkeys(("long", "single"), "v1"), "s", parts[0], parts[1], TERMS)
    assert found.holds
    assert (found.unit, found.n, found.sessions, found.cap) == (Unit.EVERY, 900, 450, 4)
    assert [member.n for member in found.members] == [600, 300]
    single = found.members[1]
    assert single.risk_upper == upper(single.answered, single.errors, 0.05)


def shuffled(tag: str, risks: dict[str, float], n: int, top: str = "") -> ScoredCalls:
    """Members whose confidence says nothing about their risk; that of ``top`` is always above .9."""
    parts = []
    for task, risk in risks.items():
        rng = np.random.default_rng([len(tag), ord(task)])
        confidence = rng.uniform(0.9 if task == top else 0.5, 1.0 if task == top else 0.9, n)
        one = calls(tag, n, task=task)
        parts.append(dataclasses.replace(one, confidence=confidence, loss=rng.random(n) < risk))
    return together(*parts)


def test_a_boastful_bad_member_leaves_where_it_would_stop_the_others() -> None:
    risks = {"a": 0.01, "b": 0.5}
    parts = [shuffled(tag, risks, 200, top="b") for tag in ("val", "calib")]
    found = certify_group(dict.fromkeys(risks, "1"), "s", parts[0], parts[1], TERMS)
    assert found.holds
    assert [member.deferred for member in found.members] == [False, True]


def test_a_group_of_bad_members_is_refused_whole() -> None:
    risks = {"a": 0.4, "b": 0.4, "c": 0.3}
    parts = [shuffled(tag, risks, 200) for tag in ("val", "calib")]
    found = certify_group(dict.fromkeys(risks, "1"), "s", parts[0], parts[1], TERMS)
    assert not found.holds
    assert found.calls_needed is None


def test_a_member_without_validation_calls_defers() -> None:
    validation = calls("val", 300, task="a")
    calibration = together(calls("cal", 300, task="a"), calls("cal", 5, task="new"))
    found = certify_group({"a": "1", "new": "1"}, "s", validation, calibration, TERMS)
    assert [member.deferred for member in found.members] == [False, True]


@pytest.mark.parametrize(("errors", "deferred"), [(1, False), (3, True)])
def test_few_validation_calls_defer_only_on_errors_that_alpha_hardly_makes(
    errors: int, deferred: bool
) -> None:
    few = dataclasses.replace(
        calls("val", 4, task="few"), confidence=np.full(4, 0.99), loss=np.arange(4) < errors
    )
    validation = together(calls("val", 300, task="a"), few)
    calibration = together(calls("cal", 300, task="a"), calls("cal", 30, task="few"))
    found = certify_group({"a": "1", "few": "1"}, "s", validation, calibration, TERMS)
    assert found.members[1].deferred is deferred


def test_a_member_is_told_how_many_calls_its_own_certificate_needs() -> None:
    found = group(dict.fromkeys("abcd", 0.0), n=20)
    assert found.holds
    own = calls_for(0.1, 0.05 / 4)
    for member in found.members:
        assert member.calls_needed is not None
        assert member.calls_needed >= own - 20


def test_another_mix_voids_a_group_but_not_a_task() -> None:
    pair = group({"a": 0.0, "b": 0.0})
    assert mix_holds(pair, {"a": 0.55, "b": 0.45})
    assert not mix_holds(pair, {"a": 0.7, "b": 0.3})
    assert mix_holds(one_task(calls("val", 100), calls("cal", 100)), {"other": 1.0})


def test_the_evidence_is_the_same_in_any_order_and_differs_with_any_value() -> None:
    validation, calibration = calls("val", 100), calls("cal", 100)
    first = one_task(validation, calibration)
    backwards = one_task(validation, calibration.take(np.arange(99, -1, -1)))
    other = one_task(validation, dataclasses.replace(calibration, loss=~calibration.loss))
    assert first == backwards
    assert first.evidence != other.evidence


@given(st.floats(0.0, 0.3), st.sampled_from(list(Unit)), st.floats(0.02, 0.3))
@settings(max_examples=25)
def test_figures_always_fit_together(risk: float, unit: Unit, alpha: float) -> None:
    terms = Terms(alpha=alpha, unit=unit)
    found = one_task(calls("val", 200, risk, a_session=2), calls("cal", 200, risk, a_session=2), terms)
    assert 0 <= found.errors <= found.answered <= found.n
    assert found.risk <= found.risk_upper
    assert not found.holds or (found.risk_upper <= alpha + 1e-9 and found.calls_needed is None)
    assert found.calls_needed is None or found.calls_needed > 0
    assert Certificate.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_session_in_both_parts_is_refused() -> None:
    validation = calls("val", 10)
    leaked = dataclasses.replace(calls("cal", 10), session=validation.session)
    with pytest.raises(BadInput, match="10 session value"):
        one_task(validation, leaked)


def test_a_call_in_both_parts_is_refused() -> None:
    validation = calls("val", 10)
    leaked = dataclasses.replace(calls("cal", 10), call=validation.call)
    with pytest.raises(BadInput, match="10 call id value"):
        one_task(validation, leaked)


def test_calls_of_another_task_are_refused() -> None:
    with pytest.raises(BadInput, match="calls of other"):
        one_task(calls("val", 10), calls("cal", 10, task="other"))


def test_a_group_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="no task"):
        certify_group({}, "s", NONE, NONE, TERMS)
