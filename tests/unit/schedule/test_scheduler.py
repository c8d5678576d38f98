from __future__ import annotations

import pytest
from tests.unit.schedule.world import World, request, rules

from offramp.core.errors import BadInput
from offramp.core.placement import Adapter, EngineMemory, PlacedEngine, Role, Slice
from offramp.schedule.request import CallClass, Dispatch, Refused
from offramp.schedule.rules import ClassRule, EngineSpec, Rules, spec_of
from offramp.schedule.scheduler import Scheduler
from offramp.schedule.waiting import Tenants

BASE = frozenset({"base"})


def flood(world: World, kind: CallClass, count: int, *, first: int = 0, service_s: float = 0.1) -> None:
    """Requests of one class, all at once."""
    for number in range(first, first + count):
        world.offer(request(number, kind, at=world.now, service_s=service_s))


def test_shares_are_weights_and_the_surplus_is_the_small_models() -> None:
    """Four classes that always wait, one slot: 0.2, 0.2 and 0.05 are kept, the rest is interactive."""
    world = World([EngineSpec("e", 1, BASE)], rules())
    for kind in CallClass:
        flood(world, kind, 1000, first=1000 * kind)
    world.run(60.0)
    share = {
        kind: sum(dispatch.request.kind is kind for _, dispatch, _ in world.log) / len(world.log)
        for kind in CallClass
    }
    assert share[CallClass.TOOL] == pytest.approx(0.2, abs=0.01)
    assert share[CallClass.LLM] == pytest.approx(0.2, abs=0.01)
    assert share[CallClass.BATCH] == pytest.approx(0.05, abs=0.01)
    assert share[CallClass.INTERACTIVE] == pytest.approx(0.55, abs=0.01)


def test_a_class_alone_has_everything() -> None:
    """Guarantees of idle classes cost nothing where nothing is reserved."""
    world = World([EngineSpec("e", 4, BASE)], rules())
    flood(world, CallClass.BATCH, 8)
    assert world.used("e") == 4
    world.run()
    assert world.now == pytest.approx(0.2)


def test_an_llm_call_finds_its_slot_under_a_flood() -> None:
    """With a reserve it waits no longer than a loan lasts; without, for the calls under way."""
    waits = []
    for reserve in (0.25, 0.0):
        world = World([EngineSpec("e", 4, BASE)], rules(reserve, lend_s=0.5))
        flood(world, CallClass.TOOL, 100, service_s=1.0)
        world.run(0.5)
        world.offer(request(1000, CallClass.LLM, at=0.5, service_s=1.0))
        world.run()
        waits.append(next(at - 0.5 for at, one, _ in world.log if one.request.id == 1000))
    assert waits[0] == 0.0
    assert waits[1] >= 0.5


def test_the_next_free_slot_is_for_the_class_that_it_is_kept_for() -> None:
    """Whatever the shares say: a call with a slot of its class to claim waits for no second one."""
    world = World([EngineSpec("e", 4, BASE)], rules(0.5, lend_s=0.5))
    for number in range(4):
        world.offer(request(number, service_s=0.1 + 0.1 * number))
    flood(world, CallClass.INTERACTIVE, 20, first=10, service_s=0.1)
    # The account of the LLM is in debt for a call before.
    world.offer(request(100, CallClass.LLM, service_s=0.01, device_s=50.0))
    world.offer(request(101, CallClass.LLM, service_s=0.01))
    world.run(0.1)
    world.run(0.2)
    assert {100, 101} <= world.ended.keys()


def test_a_lent_slot_is_lent_to_short_calls_only_and_counted() -> None:
    """Four slots, two kept: of long calls two run, of short ones four; what was lent is in the counts."""
    use = rules(0.5, lend_s=0.2)
    world = World([EngineSpec("e", 4, BASE)], use)
    flood(world, CallClass.TOOL, 6, service_s=1.0)
    assert world.used("e") == 2
    flood(world, CallClass.INTERACTIVE, 6, first=10, service_s=0.1)
    assert world.used("e") == 4
    assert [dispatch.lent for _, dispatch, _ in world.log] == [False, False, True, True]
    world.run()
    assert world.scheduler.counts[CallClass.INTERACTIVE].lent_s == pytest.approx(0.6)
    assert world.scheduler.counts[CallClass.TOOL].lent_s == 0.0


def test_earlier_deadlines_go_first_and_what_is_too_late_is_refused() -> None:
    """Strict classes refuse at arrival, and while they wait, with a time to come back."""
    world = World([EngineSpec("e", 1, BASE)], rules(strict=True))
    world.offer(request(0, service_s=1.0, deadline=1.0))
    world.offer(request(1, service_s=1.0, deadline=5.0))
    world.offer(request(2, service_s=1.0, deadline=2.5))
    world.offer(request(3, service_s=1.0, deadline=1.5))
    assert world.scheduler.next_expiry() == pytest.approx(0.5)
    events = world.scheduler.offer(request(4, service_s=1.0, deadline=0.9), 0.0)
    assert [(type(event), event.request.id) for event in events] == [(Refused, 4)]
    assert isinstance(events[0], Refused)
    assert events[0].retry_after_s >= 3.0
    world.run()
    assert world.ended == {0: "completed", 3: "late", 2: "completed", 1: "completed"}
    assert [dispatch.request.id for _, dispatch, _ in world.log] == [0, 2, 1]
    assert world.scheduler.next_expiry() == float("inf")


def test_predictions_that_were_too_long_mend_themselves() -> None:
    """A stall makes every call look too late; with a free slot they go in all the same, and teach."""
    scheduler = Scheduler([EngineSpec("e", 1, BASE)], rules(strict=True))
    scheduler.offer(request(0, service_s=0.1), 0.0)
    scheduler.complete(0, 1000.0)
    now, refused = 1000.0, 0
    for number in range(1, 120):
        now += 1.0
        events = scheduler.offer(request(number, at=now, service_s=0.1, deadline=now + 1.0), now)
        events += scheduler.offer(request(-number, at=now, service_s=0.1, deadline=now + 1.0), now)
        refused += sum(isinstance(event, Refused) for event in events)
        events = scheduler.complete(number, now + 0.1)
        if any(isinstance(event, Dispatch) for event in events):
            scheduler.complete(-number, now + 0.2)
    assert 40 < refused < 119


def test_classes_that_are_not_strict_are_answered_late() -> None:
    """An LLM call is not lost because it waited."""
    world = World([EngineSpec("e", 1, BASE)], rules(strict=True))
    for number in range(3):
        world.offer(request(number, CallClass.LLM, service_s=1.0, deadline=0.5))
    world.run()
    assert set(world.ended.values()) == {"completed"}


def test_an_expired_claim_frees_a_kept_slot() -> None:
    """What waits behind a request that is refused as too late moves up at once."""
    classes = dict(rules(0.5).classes)
    classes[CallClass.LLM] = ClassRule(0.2, reserve=0.5, strict=True)
    scheduler = Scheduler([EngineSpec("e", 2, BASE, frozenset({"a", "b"}), loaded=1)], Rules(classes))
    assert len(scheduler.offer(request(0, model="a", service_s=5.0), 0.0)) == 1
    assert scheduler.offer(request(1, CallClass.LLM, "b", service_s=1.0, deadline=2.0), 0.0) == []
    # Room is made for b: calls for a wait, until nobody asks for b any more.
    assert scheduler.offer(request(2, model="a", service_s=0.1), 0.5) == []
    events = scheduler.expire(1.5)
    assert [(type(event), event.request.id) for event in events] == [(Refused, 1), (Dispatch, 2)]


def test_a_client_that_leaves_lets_those_behind_it_move_up() -> None:
    """Room was being made for its adapter; the calls for the one that was to go are taken again."""
    scheduler = Scheduler([EngineSpec("e", 2, adapters=frozenset({"a", "b"}), loaded=1)], rules())
    scheduler.offer(request(0, model="a", service_s=5.0), 0.0)
    assert scheduler.offer(request(1, model="b"), 0.0) == []
    assert scheduler.offer(request(2, model="a"), 0.0) == []
    assert [event.request.id for event in scheduler.cancel(1, 0.1)] == [2]


def test_a_full_queue_refuses_unless_a_slot_is_free() -> None:
    """The queue's limit is for what waits."""
    world = World([EngineSpec("e", 1, BASE)], rules(queue=1))
    flood(world, CallClass.BATCH, 3)
    assert world.ended == {2: "full"}
    none = World([EngineSpec("e", 1, BASE)], rules(queue=0))
    flood(none, CallClass.BATCH, 2)
    assert none.ended == {1: "full"}
    none.run()
    assert none.ended == {0: "completed", 1: "full"}


def test_an_escalated_call_keeps_its_deadline_and_goes_before_later_ones() -> None:
    """The client has waited once; it is not put behind those that came since."""
    small = request(0, model="a", at=1.0, deadline=4.0, tenant="t")
    world = World([EngineSpec("e", 1, BASE)], rules())
    world.run(2.0)
    world.offer(request(1, CallClass.LLM, at=2.0, deadline=9.0))
    world.offer(request(2, CallClass.LLM, at=2.0, deadline=9.0))
    llm = request(3, CallClass.LLM, at=small.arrived, deadline=small.deadline, tenant=small.tenant)
    assert (llm.kind, llm.arrived, llm.deadline, llm.tenant) == (CallClass.LLM, 1.0, 4.0, "t")
    world.offer(llm)
    world.run()
    assert [dispatch.request.id for _, dispatch, _ in world.log] == [1, 3, 2]


def test_an_adapter_that_is_there_goes_first_for_a_while() -> None:
    """Four loads' worth of waiting is what a change of adapters has to be worth."""
    spec = EngineSpec("e", 1, adapters=frozenset({"a", "b"}), loaded=1, load_s=0.1)
    world = World([spec], rules())
    for number, (model, deadline) in enumerate([("a", 1.0), ("b", 1.1), ("a", 1.2), ("a", 1.6)]):
        world.offer(request(number, model=model, deadline=deadline))
    world.run()
    assert [dispatch.request.id for _, dispatch, _ in world.log] == [0, 2, 1, 3]
    assert [(one.loads, one.evicts) for _, one, _ in world.log] == [
        (True, ""),
        (False, ""),
        (True, "a"),
        (True, "b"),
    ]


def test_room_is_made_for_an_adapter_whose_turn_it_is() -> None:
    """A flood for one adapter does not keep another out: after the calls under way it is let run dry."""
    spec = EngineSpec("e", 2, adapters=frozenset({"a", "b"}), loaded=1)
    world = World([spec], rules())
    for number in range(50):
        world.offer(request(number, model="a", service_s=0.1 + 0.03 * (number % 2), deadline=10.0 + number))
    world.offer(request(100, model="b", deadline=11.5))
    world.run()
    place = [dispatch.request.id for _, dispatch, _ in world.log].index(100)
    assert place <= 4
    assert len(world.ended) == 51


def test_replicas_share_one_queue_and_keep_to_their_adapters() -> None:
    """Of two engines with room, the one that has the adapter gets the call."""
    names = frozenset({"a", "b"})
    scheduler = Scheduler([EngineSpec(name, 2, adapters=names, loaded=2) for name in ("x", "y")])
    told = [
        scheduler.offer(request(number, CallClass.TOOL, model), 0.0)
        for number, model in enumerate(["a", "b", "b", "a"])
    ]
    where = [event.engine for events in told for event in events if isinstance(event, Dispatch)]
    assert where == ["x", "y", "y", "x"]
    assert [scheduler.in_flight(name) for name in ("x", "y")] == [2, 2]
    assert scheduler.models == names


def test_an_engine_that_is_shut_gets_nothing_until_it_is_opened() -> None:
    """Others take its calls; what only it serves waits."""
    names = frozenset({"a"})
    scheduler = Scheduler([EngineSpec("x", 1, names), EngineSpec("y", 1, names | {"b"})], rules())
    scheduler.shut("y")
    first = scheduler.offer(request(0, CallClass.TOOL, "a"), 0.0)
    assert [event.engine for event in first if isinstance(event, Dispatch)] == ["x"]
    assert scheduler.offer(request(1, CallClass.TOOL, "b"), 0.0) == []
    assert scheduler.offer(request(2, CallClass.TOOL, "a"), 0.0) == []
    opened = scheduler.reopen("y", 1.0)
    assert [(event.request.id, event.engine) for event in opened if isinstance(event, Dispatch)] == [(1, "y")]
    assert [event.request.id for event in scheduler.complete(0, 1.0)] == [2]


def test_an_engine_that_changes_keeps_its_calls() -> None:
    """Fewer slots than calls under way: none goes in until there is room; then its new adapter's."""
    scheduler = Scheduler([EngineSpec("e", 3, frozenset({"base"}))], rules())
    for number in range(4):
        scheduler.offer(request(number, CallClass.TOOL), 0.0)
    assert scheduler.change([EngineSpec("e", 1, frozenset({"base"}), frozenset({"a"}), 1)], 0.0) == []
    assert scheduler.in_flight("e") == 3
    assert scheduler.complete(0, 1.0) == scheduler.complete(1, 1.0) == []
    assert [event.request.id for event in scheduler.complete(2, 1.0)] == [3]
    assert scheduler.offer(request(4, CallClass.TOOL, "a"), 1.0) == []
    assert [event.request.id for event in scheduler.complete(3, 2.0)] == [4]


def test_calls_that_nobody_serves_any_more_are_refused() -> None:
    """Those under way end where they are; the model may come back."""
    spec = EngineSpec("e", 1, adapters=frozenset({"a"}), loaded=1)
    scheduler = Scheduler([spec], rules())
    for number in range(2):
        scheduler.offer(request(number, CallClass.TOOL, "a"), 0.0)
    events = scheduler.change([EngineSpec("f", 1, BASE)], 0.0)
    assert [(type(event), event.request.id) for event in events] == [(Refused, 1)]
    assert [slots.spec.name for slots in scheduler.engines] == ["f"]
    with pytest.raises(BadInput, match="No engine serves 'a'"):
        scheduler.offer(request(2, CallClass.TOOL, "a"), 0.0)
    assert scheduler.complete(0, 1.0) == []
    scheduler.change([spec], 1.0)
    (event,) = scheduler.offer(request(3, CallClass.TOOL, "a"), 1.0)
    assert isinstance(event, Dispatch)
    assert (event.engine, event.loads) == ("e", False)


def test_predictions_are_corrected_by_what_calls_took() -> None:
    """Calls that take three times as long are charged so, and are soon predicted so: they are not lent to."""
    scheduler = Scheduler([EngineSpec("e", 2, BASE)], rules(0.5, lend_s=0.5))
    scheduler.offer(request(0, CallClass.TOOL, service_s=0.3), 0.0)
    scheduler.complete(0, 0.9)
    scheduler.offer(request(1, CallClass.TOOL, service_s=9.0), 1.0)
    assert scheduler.offer(request(2, CallClass.TOOL, service_s=0.3), 1.0) == []
    assert scheduler.wait_s(CallClass.TOOL) == pytest.approx(0.9)
    credit = scheduler.engines[0].accounts.credit
    assert credit[CallClass.TOOL] <= 0.0
    done = scheduler.complete(1, 2.0, device_s=0.1, tokens=50.0)
    assert [event.request.id for event in done] == [2]


def test_tenants_pay_for_what_their_calls_came_to() -> None:
    """What was charged too much pays for the next calls; counters never go back."""
    tenants = Tenants(100.0)
    one = tenants.join("one")
    tenants.serve(one, 500.0)
    tenants.correct(one, -300.0)
    assert one.counter == 500.0
    tenants.serve(one, 400.0)
    assert one.counter == 600.0
    tenants.serve(one, 10.0)
    assert one.counter == 610.0
    tenants.correct(one, 50.0)
    assert (one.counter, one.step) == (660.0, 6)
    one.waiting = 0
    # A tenant that was away starts where the others are.
    two = tenants.join("two")
    assert two.counter == 600.0


def test_a_tenant_pays_for_its_calls_to_every_model() -> None:
    """What it is charged at one model puts it behind at the others."""
    world = World([EngineSpec("e", 1, frozenset({"base", "other"}))], rules())
    world.offer(request(0, CallClass.TOOL, tenant="x"))
    world.offer(request(1, CallClass.TOOL, "other", tenant="big", tokens=5000.0, deadline=1.0))
    world.offer(request(2, CallClass.TOOL, tenant="big", deadline=1.5))
    world.offer(request(3, CallClass.TOOL, tenant="small", deadline=9.0))
    world.run()
    assert [dispatch.request.id for _, dispatch, _ in world.log] == [0, 1, 3, 2]


def test_an_urgent_call_goes_before_those_for_other_models() -> None:
    """Though its own model's queue had been behind."""
    world = World([EngineSpec("e", 1, frozenset({"base", "other"}))], rules())
    for number, (model, deadline) in enumerate([("base", 1.0), ("base", 5.0), ("other", 3.0), ("base", 2.0)]):
        world.offer(request(number, CallClass.TOOL, model, deadline=deadline))
    world.run()
    assert [dispatch.request.id for _, dispatch, _ in world.log] == [0, 3, 2, 1]


def test_a_tenant_whose_calls_take_longer_than_others_pays_for_it() -> None:
    """Two tenants ask for the same; one's answers take four times as long, so it gets fewer calls in."""
    world = World([EngineSpec("e", 1, BASE)], rules())
    world.stretch = lambda one: 4.0 if one.tenant == "long" else 1.0
    for number in range(400):
        tenant = "long" if number % 2 else "short"
        world.offer(request(number, CallClass.TOOL, tenant=tenant, tokens=1000.0))
    world.run(40.0)
    ended = [number for number in world.ended if isinstance(number, int)]
    long = sum(number % 2 for number in ended)
    assert 0.15 < long / len(ended) < 0.3


def test_tenants_without_calls_are_forgotten() -> None:
    """A flood of made-up keys does not fill the memory."""
    tenants = Tenants(100.0)
    for number in range(10_000):
        tenants.join(str(number)).waiting = 0
    assert len(tenants) <= 4096


def test_clients_that_leave_by_the_thousand_leave_nothing_behind() -> None:
    """Requests that were taken back are dropped from the middle of the queue too."""
    world = World([EngineSpec("e", 1, BASE)], rules())
    flood(world, CallClass.TOOL, 500)
    for number in range(2, 500):
        world.cancel(number)
    assert world.scheduler.queued(CallClass.TOOL) == 1
    world.cancel(0)
    world.run()
    assert world.ended[1] == "completed"
    assert world.scheduler.counts[CallClass.TOOL].cancelled == 499


def test_what_has_ended_cannot_end_again() -> None:
    """A second end, an unknown id, an id in use and an unknown model are told."""
    scheduler = Scheduler([EngineSpec("e", 1, BASE)])
    scheduler.offer(request(0), 0.0)
    scheduler.offer(request(1, CallClass.TOOL), 0.0)
    with pytest.raises(BadInput, match="under way"):
        scheduler.offer(request(1), 0.0)
    with pytest.raises(BadInput, match="waits"):
        scheduler.complete(1, 0.0)
    scheduler.complete(0, 1.0)
    with pytest.raises(BadInput, match="No engine has"):
        scheduler.complete(0, 1.0)
    with pytest.raises(BadInput, match="no request"):
        scheduler.cancel(0, 1.0)
    with pytest.raises(BadInput, match="No engine serves 'other'"):
        scheduler.offer(request(2, model="other"), 1.0)
    with pytest.raises(BadInput, match="one name"):
        Scheduler([EngineSpec("e", 1, BASE)] * 2)


@pytest.mark.parametrize(
    ("weight", "reserve", "queue", "says"),
    [(0.0, 0.0, 1, "above 0"), (0.5, 0.0, 1, "sum up"), (0.1, 0.5, 1, "sum up"), (0.1, 0.0, -1, "queues")],
)
def test_promises_that_cannot_be_kept_are_refused(
    weight: float, reserve: float, queue: int, says: str
) -> None:
    """No weight, too much in all, too much reserved, no queue."""
    with pytest.raises(BadInput, match=says):
        Rules(dict.fromkeys(CallClass, ClassRule(weight, reserve=reserve, queue=queue)))


def test_rules_and_engines_that_make_no_sense_are_refused() -> None:
    """A class without a rule, a quantum of nothing, an engine without slots or room for its adapters."""
    with pytest.raises(BadInput, match="batch"):
        Rules({kind: ClassRule(0.1) for kind in CallClass if kind is not CallClass.BATCH})
    with pytest.raises(BadInput, match="quantum_s"):
        Rules(quantum_s=0.0)
    for spec in ({"slots": 0, "models": BASE}, {"slots": 1}, {"slots": 1, "adapters": BASE}):
        with pytest.raises(BadInput, match="needs a slot"):
            EngineSpec("e", **spec)


def test_a_placed_engine_is_asked_for_its_base_and_its_adapters() -> None:
    """With room for one adapter at least where it has any."""
    memory, part = EngineMemory(1, 1, 1, 1), (Slice(0, 0.5),)
    adapters = (Adapter("x", 8),)
    small = spec_of(PlacedEngine("s", "base", Role.SMALL, part, memory, 8, 100, adapters), load_s=0.1)
    assert (small.slots, small.loaded, small.load_s) == (8, 1, 0.1)
    assert (sorted(small.models), sorted(small.adapters)) == (["base"], ["x"])
    large = spec_of(PlacedEngine("l", "large", Role.LLM, part, memory, 4, 100))
    assert (large.slots, sorted(large.models), sorted(large.adapters), large.loaded) == (4, ["large"], [], 0)
