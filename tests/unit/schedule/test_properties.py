from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.schedule.world import World, request, rules

from offramp.schedule.request import CallClass, Request
from offramp.schedule.rules import EngineSpec

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

KINDS = st.sampled_from(list(CallClass))
TIMES = st.sampled_from([0.01, 0.05, 0.1, 0.4, 1.0, 3.0])


@st.composite
def traffic(draw: DrawFn, models: tuple[str, ...] = ("base",), most: int = 60) -> list[tuple[float, Request]]:
    """Requests with the pauses before them."""
    drawn = draw(
        st.lists(
            st.tuples(
                KINDS,
                st.sampled_from(models),
                st.sampled_from([0.0, 0.0, 0.02, 0.3]),
                TIMES,
                st.sampled_from([0.1, 1.0, 5.0]),
                st.sampled_from(["a", "b", "c"]),
                st.sampled_from([10.0, 400.0, 2500.0]),
            ),
            min_size=1,
            max_size=most,
        )
    )
    now, made = 0.0, []
    for index, (kind, model, pause, service, slack, tenant, tokens) in enumerate(drawn):
        now += pause
        made.append(
            (
                now,
                request(
                    index,
                    kind,
                    model,
                    at=now,
                    service_s=service,
                    deadline=now + slack,
                    tenant=tenant,
                    tokens=tokens,
                ),
            )
        )
    return made


def play(world: World, arrivals: list[tuple[float, Request]], *, gone: frozenset[int] = frozenset()) -> None:
    """Run to the end; clients whose number is in ``gone`` leave when the next one arrives."""
    for at, one in arrivals:
        world.run(at)
        leaving = int(one.id) - 1
        if leaving in gone and leaving not in world.ended:
            world.cancel(leaving)
        world.offer(one)
    world.run()


def dispatchable(world: World, engine: str) -> list[Request]:
    """Requests that wait and that a free slot of an engine without a reserve could take at once."""
    spec, slots = world.specs[engine], world.scheduler.engines[list(world.specs).index(engine)]
    if world.used(engine) == spec.slots:
        return []
    room = len(world.adapters(engine)) < spec.loaded
    # An adapter is let run dry for as long as another waits for its place, and no longer.
    wanted = slots.wanted not in slots.adapters and any(
        one.model == slots.wanted for one in world.waiting.values()
    )
    draining = slots.draining if wanted else None
    return [
        one
        for one in world.waiting.values()
        if one.model in spec.models
        or (one.model in spec.adapters and one.model != draining and (one.model in slots.adapters or room))
    ]


@given(
    traffic(models=("base", "a1", "a2", "a3", "a4")),
    st.integers(1, 4),
    st.integers(1, 3),
    st.frozensets(st.integers(0, 59)),
)
def test_every_request_ends_once_and_no_slot_is_idle_while_one_could_use_it(
    arrivals: list[tuple[float, Request]], slots: int, loaded: int, gone: frozenset[int]
) -> None:
    """Two engines with adapters, more than fit at once, clients that leave: work is conserved."""
    adapters = frozenset({"a1", "a2", "a3", "a4"})
    one = EngineSpec("one", slots, frozenset({"base"}), adapters, loaded=loaded, load_s=0.05)
    two = EngineSpec("two", 2, frozenset(), frozenset({"a1", "a2"}), loaded=1, load_s=0.0)
    world = World([one, two], rules(strict=True))

    def conserved() -> None:
        assert not dispatchable(world, "one")
        assert not dispatchable(world, "two")

    world.check = conserved
    for at, arrival in arrivals:
        world.run(at)
        world.offer(arrival)
        if int(arrival.id) in gone and world.waiting:
            world.cancel(list(world.waiting)[int(arrival.id) % len(world.waiting)])
    world.run()
    assert world.ended.keys() == {one.id for _, one in arrivals}
    assert not world.waiting
    assert all(slots.free == slots.spec.slots and not slots.lent for slots in world.scheduler.engines)
    counts = world.scheduler.counts.values()
    assert sum(one.completed + one.cancelled + one.late for one in counts) == len(arrivals)


@given(traffic(), st.integers(1, 4))
def test_no_class_waits_longer_than_its_bound(arrivals: list[tuple[float, Request]], slots: int) -> None:
    """Device seconds that others get while a class waits, from each of its turns to the next."""
    use = rules()
    world = World([EngineSpec("e", slots, frozenset({"base"}))], use)
    play(world, arrivals)
    largest = max(one.device_s for _, one in arrivals)
    for kind in CallClass:
        others = 0.0
        for _, dispatch, before in world.log:
            if dispatch.request.kind == kind or not any(one.kind == kind for one in before):
                others = 0.0
            else:
                others += dispatch.request.device_s
                assert others <= use.starvation_bound(kind, largest)


@given(traffic(), st.integers(1, 4))
def test_the_surplus_goes_by_priority(arrivals: list[tuple[float, Request]], slots: int) -> None:
    """Whatever goes beyond its guarantee goes before no class above it; inside, by deadline."""
    world = World([EngineSpec("e", slots, frozenset({"base"}))], rules())
    play(world, arrivals)
    for _, dispatch, before in world.log:
        taken = dispatch.request
        if dispatch.surplus:
            assert min(one.kind for one in before) == taken.kind
        same = [one for one in before if one.kind == taken.kind and one.tenant == taken.tenant]
        assert min(one.deadline for one in same) == taken.deadline


@given(st.lists(st.sampled_from([10.0, 100.0, 900.0]), min_size=80, max_size=80), st.integers(1, 3))
def test_tenants_that_wait_get_the_same_tokens(sizes: list[float], slots: int) -> None:
    """One tenant sends eight times as many calls, all at once: while both wait they are never far apart."""
    use = rules()
    world = World([EngineSpec("e", slots, frozenset({"base"}))], use)
    for index, tokens in enumerate(sizes):
        world.offer(request(index, tenant="small" if index % 9 == 8 else "big", tokens=tokens))
    world.run()
    served = {"big": 0.0, "small": 0.0}
    begun = False
    for _, dispatch, before in world.log:
        if {one.tenant for one in before} != served.keys():
            if begun:
                break
            continue
        begun = True
        served[dispatch.request.tenant] += dispatch.request.tokens
        assert abs(served["big"] - served["small"]) <= use.fair_tokens + 2 * max(sizes)


@given(
    traffic(most=40),
    st.integers(2, 10),
    st.sampled_from([0.3, 0.5]),
    st.sampled_from([0.1, 0.4]),
    st.floats(0.1, 3.0),
)
def test_what_is_lent_is_back_in_time(
    arrivals: list[tuple[float, Request]], slots: int, reserve: float, lend_s: float, at: float
) -> None:
    """Whenever as many LLM calls arrive as are reserved, all of them run ``lend_s`` later."""
    use = rules(reserve, lend_s=lend_s)
    world = World([EngineSpec("e", slots, frozenset({"base"}))], use)
    kept = int(slots * reserve + 1e-9)
    small = [one for one in arrivals if one[1].kind is not CallClass.LLM]
    for moment, one in small:
        if moment <= at:
            world.run(moment)
            world.offer(one)
    world.run(at)
    for number in range(kept):
        world.offer(request(1000 + number, CallClass.LLM, at=at, service_s=10.0))
    world.run(at + lend_s + 1e-9)
    assert {1000 + number for number in range(kept)} <= world.flying.keys()
    world.run()
    assert set(world.ended.values()) <= {"completed"}


@given(traffic(most=40), st.integers(2, 8))
def test_a_kept_slot_is_idle_only_for_want_of_short_calls(
    arrivals: list[tuple[float, Request]], slots: int
) -> None:
    """Work conservation with a reserve: a slot is empty only for calls too long to lend to."""
    use = rules(0.5, lend_s=0.11)
    world = World([EngineSpec("e", slots, frozenset({"base"}))], use)
    kept = slots // 2
    for at, one in arrivals:
        world.run(at)
        world.offer(one)
        if world.used("e") == slots:
            continue
        assert all(waiting.kind is not CallClass.LLM for waiting in world.waiting.values()) or (
            sum(flying.request.kind is CallClass.LLM for flying, _ in world.flying.values()) >= kept
        )
        for kind in {waiting.kind for waiting in world.waiting.values()}:
            mine = [waiting for waiting in world.waiting.values() if waiting.kind == kind]
            assert any(waiting.service_s > 0.11 for waiting in mine)


@given(traffic(models=("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"), most=80), st.integers(2, 6))
def test_over_committed_adapters_lose_no_call(arrivals: list[tuple[float, Request]], slots: int) -> None:
    """Eight adapters with room for two: everything is answered."""
    adapters = frozenset(f"a{number}" for number in range(1, 9))
    world = World([EngineSpec("e", slots, adapters=adapters, loaded=2, load_s=0.05)], rules())
    play(world, arrivals)
    assert len(world.ended) == len(arrivals)
    assert set(world.ended.values()) == {"completed"}


@given(
    traffic(models=("base", "a1", "a2", "a3")),
    st.integers(1, 4),
    st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0, 20.0]), min_size=60, max_size=60),
)
def test_wrong_predictions_lose_nothing(
    arrivals: list[tuple[float, Request]], slots: int, stretches: list[float]
) -> None:
    """Calls that take a tenth or twenty times what was predicted: each ends once, all credits come back."""
    adapters = frozenset({"a1", "a2", "a3"})
    spec = EngineSpec("e", slots, frozenset({"base"}), adapters, loaded=2, load_s=0.01)
    world = World([spec], rules(0.3, strict=True))
    world.stretch = lambda one: stretches[int(one.id)]
    play(world, arrivals)
    assert world.ended.keys() == {one.id for _, one in arrivals}
    (engine,) = world.scheduler.engines
    assert (engine.free, engine.lent) == (slots, 0)
    debt = max(one.device_s for _, one in arrivals) * max(1.0, *stretches)
    assert min(engine.accounts.credit) >= -debt


ENGINES = st.lists(
    st.tuples(
        st.sampled_from(["one", "two", "three"]),
        st.integers(1, 4),
        st.frozensets(st.sampled_from(["a1", "a2", "a3"])),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda drawn: drawn[0],
)


@given(traffic(models=("base", "a1", "a2", "a3")), st.lists(ENGINES, min_size=2, max_size=5))
def test_engines_may_change_at_any_time(
    arrivals: list[tuple[float, Request]], changes: list[list[tuple[str, int, frozenset[str], int]]]
) -> None:
    """Engines come, go and change while calls wait and run: each call ends once, no slot is given twice."""
    fleets = [
        [EngineSpec(name, slots, frozenset({"base"}), own, loaded) for name, slots, own, loaded in fleet]
        for fleet in changes
    ]
    world = World(fleets[0], rules(0.3, strict=True))
    every = max(1, len(arrivals) // len(fleets))
    for index, (at, one) in enumerate(arrivals):
        world.run(at)
        if index % every == every - 1:
            world.change(fleets[index // every % len(fleets)])
        if one.model in world.scheduler.models:
            world.offer(one)
        assert not any(
            world.used(engine.spec.name) == 0 and waiting.kind is CallClass.LLM and waiting.model == "base"
            for engine in world.scheduler.engines
            for waiting in world.waiting.values()
        )
    world.run()
    assert not world.waiting
    assert not world.flying
    assert all(engine.free == engine.spec.slots for engine in world.scheduler.engines)


@given(traffic(), st.integers(1, 3))
def test_equal_inputs_give_equal_dispatches(arrivals: list[tuple[float, Request]], slots: int) -> None:
    """Nothing depends on hashes, clocks or the order of dictionaries made at other times."""
    runs = []
    for _ in range(2):
        world = World([EngineSpec("e", slots, frozenset({"base"}))], rules(0.3))
        play(world, arrivals)
        runs.append([(at, dispatch.request.id) for at, dispatch, _ in world.log])
    assert runs[0] == runs[1]
    assert all(first[0] <= second[0] for first, second in pairwise(runs[0]))
