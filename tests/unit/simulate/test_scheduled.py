from __future__ import annotations

import numpy as np
import pytest
from tests.unit.simulate.worlds import BASE, DEVICE, engine, placement

from offramp.app.simulation import classed
from offramp.core.placement import Placement, Role
from offramp.core.standing import CallClass
from offramp.schedule.rules import ClassRule, Rules
from offramp.simulate.arrivals import Arrivals, Lengths, poisson
from offramp.simulate.policy import Policy, first_come
from offramp.simulate.run import Outcome, Stream, simulate
from offramp.simulate.scheduled import Scheduled

SHORT = Lengths(prompt=200, completion=40, largest=1000)
PATIENT = Rules({kind: ClassRule(0.25) for kind in CallClass})


def run(where: Placement, *streams: Stream, policy: Policy) -> Outcome:
    return simulate(where, streams, policy, shapes={"base": BASE}, devices={"gpu": DEVICE})


def at_once(count: int, *, prompt: int = 100, completion: int = 50) -> Arrivals:
    ones = np.ones(count, dtype=np.int64)
    return Arrivals(np.zeros(count), prompt * ones, completion * ones)


def test_one_class_of_one_tenant_is_first_come_first_served() -> None:
    """The scheduler changes nothing where nothing competes."""
    stream = Stream("base", poisson(60.0, 20.0, SHORT, seed=3), 1e6)
    served = run(placement(engine(slots=4)), stream, policy=Scheduled(PATIENT))
    plain = run(placement(engine(slots=4)), stream, policy=first_come())
    assert served.digest() == plain.digest()


def test_every_request_is_answered_or_refused_and_nothing_stays() -> None:
    """Overload of a strict class: what is refused is counted, and the scheduler ends empty."""
    policy = Scheduled()
    stream = Stream("base", at_once(200, completion=100), 0.5)
    outcome = run(placement(engine(slots=4)), stream, policy=policy)
    answered = np.isfinite(outcome.finished)
    assert 0 < int(answered.sum()) < 200
    assert policy.refused == 200 - int(answered.sum())
    counts = policy.scheduler.counts[CallClass.INTERACTIVE]
    assert counts.completed == int(answered.sum())
    assert policy.scheduler.in_flight("one") == 0
    # What was answered was answered in time, or nearly: predictions are made, not known.
    assert np.percentile((outcome.finished - outcome.at)[answered], 95) < 0.75


def test_an_llm_call_finds_its_kept_slot() -> None:
    """Under a flood of small calls: with a reserve at once, by arrival after all of them."""
    flood = Stream("base", at_once(300), 1e6, kind=CallClass.TOOL)
    late = Arrivals(np.array([0.2]), np.array([100]), np.array([50]))
    call = Stream("base", late, 1e6, kind=CallClass.LLM)
    classes = {kind: ClassRule(0.25, reserve=0.25 if kind is CallClass.LLM else 0.0) for kind in CallClass}
    waits = []
    for policy in (Scheduled(Rules(classes, lend_s=0.0)), first_come()):
        outcome = run(placement(engine(slots=8)), flood, call, policy=policy)
        mine = outcome.stream == 1
        waits.append(float((outcome.dispatched - outcome.at)[mine][0]))
    assert waits[0] == pytest.approx(0.0, abs=1e-9)
    assert waits[1] > 1.0


def test_two_engines_share_what_waits() -> None:
    """Twice the engines, about half the time."""
    stream = Stream("base", at_once(64), 1e6)
    one = run(placement(engine("a", slots=4)), stream, policy=Scheduled(PATIENT))
    both = placement(engine("a", slots=4), engine("b", slots=4, devices=(1,)), devices=2)
    two = run(both, stream, policy=Scheduled(PATIENT))
    assert two.seconds == pytest.approx(one.seconds / 2, rel=0.1)


def test_streams_of_the_llms_engines_are_the_llms() -> None:
    """By the role of the engine that serves them."""
    where = placement(engine())
    stream = Stream("base", at_once(1), 1.0)
    assert [one.kind for one in classed([stream], where)] == [CallClass.INTERACTIVE]
    large = Placement(
        where.devices,
        tuple(
            type(one)(one.name, one.base, Role.LLM, one.slices, one.memory, 4, 4096) for one in where.engines
        ),
    )
    assert [one.kind for one in classed([stream], large)] == [CallClass.LLM]
