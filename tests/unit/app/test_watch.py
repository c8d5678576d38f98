from __future__ import annotations

from dataclasses import replace

import pytest

from offramp.app.sessions import FirstOfSession
from offramp.app.watch import StoredAudit, live_risk
from offramp.core.deployment import Deployment
from offramp.testing.memory_store import MemoryStore

DEPLOYMENT = Deployment("s-1", ("t",), 0.9, 0.1, 0.05)


def test_audits_outlive_the_process() -> None:
    store = MemoryStore()
    for loss in (0.0, 1.0, 0.0):
        StoredAudit(store, DEPLOYMENT).update(loss)
    assert (live_risk(store, DEPLOYMENT)["audited"], live_risk(store, DEPLOYMENT)["disagreements"]) == (3, 1)


def test_audits_that_disagree_reject_and_stay_rejected_after_a_restart() -> None:
    store = MemoryStore()
    audit = StoredAudit(store, DEPLOYMENT)
    assert not audit.rejected
    for _ in range(30):
        audit.update(1.0)
    assert StoredAudit(store, DEPLOYMENT).rejected


def test_where_a_judge_misses_some_audits_may_see_less_and_less_is_enough_to_roll_back() -> None:
    judged = replace(DEPLOYMENT, judge_missed=0.5)
    plain, half = (StoredAudit(MemoryStore(), one) for one in (DEPLOYMENT, judged))
    for number in range(600):
        for audit in (plain, half):
            audit.update(float(number % 11 == 0))
    assert (plain.rejected, half.rejected) == (False, True)


def test_what_a_judge_misses_widens_the_live_interval() -> None:
    store = MemoryStore()
    audit = StoredAudit(store, DEPLOYMENT)
    for number in range(200):
        audit.update(float(number % 20 == 0))
    plain, judged = (live_risk(store, replace(DEPLOYMENT, judge_missed=miss)) for miss in (0.0, 0.2))
    assert plain["risk_low"] > judged["risk_low"] == 0.0
    assert judged["risk_high"] == pytest.approx(plain["risk_high"] / 0.8)


def test_audits_that_agree_never_reject() -> None:
    audit = StoredAudit(MemoryStore(), DEPLOYMENT)
    for _ in range(300):
        audit.update(0.0)
    assert not audit.rejected


def test_without_audits_the_risk_is_unknown() -> None:
    found = live_risk(MemoryStore(), DEPLOYMENT)
    assert (found["audited"], found["risk_low"], found["risk_high"]) == (0, 0.0, 1.0)


def test_the_live_interval_holds_the_share_and_narrows() -> None:
    store = MemoryStore()
    audit = StoredAudit(store, DEPLOYMENT)
    widths = []
    for _ in range(2):
        for number in range(100):
            audit.update(float(number % 20 == 0))
        found = live_risk(store, DEPLOYMENT)
        assert found["risk_low"] <= 0.05 <= found["risk_high"]
        widths.append(found["risk_high"] - found["risk_low"])
    assert widths[1] < widths[0]


def test_a_session_counts_once_until_it_is_forgotten() -> None:
    first = FirstOfSession(most=2)
    assert [first(session) for session in ("a", "a", "b", "c", "b")] == [True, False, True, True, False]
    assert first("a")


@pytest.mark.parametrize("name", ["s-1", "s-2"])
def test_specialists_are_audited_apart(name: str) -> None:
    store = MemoryStore()
    StoredAudit(store, DEPLOYMENT).update(1.0)
    assert live_risk(store, replace(DEPLOYMENT, specialist=name))["audited"] == (1 if name == "s-1" else 0)
