from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.simulate.worlds import BASE, DEVICE, engine, placement

from offramp.core.errors import BadInput
from offramp.plan.compute import decode_step_s, prefill_s
from offramp.simulate.arrivals import Arrivals, Lengths, poisson
from offramp.simulate.policy import Ordered, deadlines, first_come, strict
from offramp.simulate.results import summarise
from offramp.simulate.run import Outcome, Stream, simulate

if TYPE_CHECKING:
    from offramp.core.placement import Placement
    from offramp.plan.speed import Speed

SHORT = Lengths(prompt=200, completion=40, largest=1000)


def run(where: Placement, *streams: Stream, policy: Ordered | None = None) -> Outcome:
    return simulate(where, streams, policy or first_come(), shapes={"base": BASE}, devices={"gpu": DEVICE})


def at_once(count: int, *, prompt: int = 100, completion: int = 50) -> Arrivals:
    ones = np.ones(count, dtype=np.int64)
    return Arrivals(np.zeros(count), prompt * ones, completion * ones)


def test_one_request_takes_what_the_planners_roofline_says() -> None:
    """The prompt, then one step for every token after the first."""
    outcome = run(placement(engine()), Stream("base", at_once(1, prompt=1000, completion=100), 10.0))
    expected = prefill_s(BASE, DEVICE, tokens=1000)
    expected += 99 * decode_step_s(BASE, DEVICE, batch=1, context=1050)
    assert outcome.finished[0] == pytest.approx(expected, rel=0.01)


def test_equal_inputs_give_an_equal_digest() -> None:
    """A run has no hidden state and no clock."""
    stream = Stream("base", poisson(20.0, 30.0, SHORT, seed=3), 2.0)
    other = Stream("base", poisson(20.0, 30.0, SHORT, seed=4), 2.0)
    assert run(placement(engine()), stream).digest() == run(placement(engine()), stream).digest()
    assert run(placement(engine()), stream).digest() != run(placement(engine()), other).digest()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    kv_tokens=st.integers(1100, 4000),
    slots=st.integers(1, 12),
    rate=st.floats(1.0, 200.0),
)
def test_every_request_is_answered_once_and_all_blocks_come_back(
    seed: int, kv_tokens: int, slots: int, rate: float
) -> None:
    """Whatever is pre-empted is read again; nothing is lost, generated twice, or keeps its memory."""
    lengths = Lengths(prompt=100, completion=60, largest=500)
    outcome = run(
        placement(engine(kv_tokens=kv_tokens, slots=slots)),
        Stream("base", poisson(rate, 3.0, lengths, seed=seed), 5.0),
    )
    (one,) = outcome.engines
    assert np.isfinite(outcome.finished).all()
    assert (outcome.at <= outcome.dispatched).all()
    assert (outcome.dispatched < outcome.first).all()
    assert (outcome.first <= outcome.finished).all()
    assert one.free_blocks == one.blocks
    assert one.in_flight == 0


def test_memory_that_runs_out_pre_empts_and_costs_time() -> None:
    """Ten sequences that grow beyond the blocks there are: some lose theirs, and all are answered."""
    scarce = run(placement(engine(kv_tokens=1600)), Stream("base", at_once(10, completion=150), 9.0))
    ample = run(placement(engine()), Stream("base", at_once(10, completion=150), 9.0))
    assert scarce.engines[0].counts.preempted > 0
    assert scarce.engines[0].counts.overflowed > 0
    assert ample.engines[0].counts.preempted == 0
    assert scarce.seconds > ample.seconds


def test_littles_law_holds() -> None:
    """Mean number present is arrival rate times mean response, by counting over time."""
    outcome = run(placement(engine()), Stream("base", poisson(30.0, 200.0, SHORT, seed=1), 2.0))
    edges = np.concatenate((outcome.at, outcome.finished))
    change = np.concatenate((np.ones(len(outcome.at)), -np.ones(len(outcome.at))))
    order = np.argsort(edges, kind="stable")
    present = np.cumsum(change[order])[:-1]
    mean = float((present * np.diff(edges[order])).sum() / outcome.seconds)
    rate = len(outcome.at) / outcome.seconds
    assert mean == pytest.approx(rate * float((outcome.finished - outcome.at).mean()), rel=1e-3)


def test_a_long_prompt_is_read_in_chunks_beside_those_that_decode() -> None:
    """No iteration is longer than one of the token budget: a decoding neighbour is held up, not stopped."""
    long = Stream("base", at_once(1, prompt=4000, completion=1), 9.0)
    outcome = run(placement(engine()), long)
    assert outcome.engines[0].counts.iterations == 2


def test_adapters_take_turns_in_their_slots() -> None:
    """Two specialists on one slot are loaded one after the other; on two slots they run together."""
    streams = [Stream(name, at_once(3), 9.0) for name in ("a", "b")]
    turns = run(placement(engine(adapters=("a", "b"), loaded=1)), *streams)
    together = run(placement(engine(adapters=("a", "b"), loaded=2)), *streams)
    assert turns.seconds > 1.5 * together.seconds
    assert together.engines[0].counts.loads == 2
    assert np.isfinite(turns.finished).all()


def test_neighbours_on_a_device_slow_each_other_and_isolated_ones_do_not() -> None:
    """Bandwidth is divided among those that run at once."""
    alone = run(placement(engine("a")), Stream("base", at_once(8), 9.0))
    names = [engine("a", adapters=("x",), loaded=1), engine("b", adapters=("y",), loaded=1)]
    beside = run(placement(*names), Stream("x", at_once(8), 9.0), Stream("y", at_once(8), 9.0))
    apart = [
        engine("a", adapters=("x",), loaded=1),
        engine("b", adapters=("y",), loaded=1, devices=(1,)),
    ]
    two = run(placement(*apart, devices=2), Stream("x", at_once(8), 9.0), Stream("y", at_once(8), 9.0))
    assert beside.seconds > 1.4 * alone.seconds
    assert two.seconds == pytest.approx(alone.seconds, rel=0.1)


def test_half_a_device_slows_prompts_by_the_published_factor_and_decoding_hardly() -> None:
    """MuxServe, Llama-7B on A100: prompts 1.65 times, decoding 1.09 to 1.20 times as long."""
    whole, half = (_speed(share) for share in (1.0, 0.5))
    prompts = {"prefill": 2000, "attended": 10**6, "decoding": 0, "cached": 0}
    decoding = {"prefill": 0, "attended": 0, "decoding": 16, "cached": 8000}
    assert half.iteration_s(**prompts) / whole.iteration_s(**prompts) == pytest.approx(1.65, abs=0.05)
    assert 1.0 <= half.iteration_s(**decoding) / whole.iteration_s(**decoding) < 1.2


def _speed(share: float) -> Speed:
    outcome = run(placement(engine(share=share)), Stream("base", at_once(1), 9.0))
    return outcome.engines[0].speed


def test_tensor_parallel_is_faster_but_less_than_in_proportion() -> None:
    """Four devices divide the work with the published loss."""
    one = run(placement(engine()), Stream("base", at_once(16), 9.0)).engines[0].speed
    four = run(placement(engine(devices=(0, 1, 2, 3)), devices=4), Stream("base", at_once(16), 9.0))
    assert one.weights_s / four.engines[0].speed.weights_s == pytest.approx(4 / 1.2)
    with pytest.raises(BadInput, match="3 devices"):
        run(placement(engine(devices=(0, 1, 2)), devices=3), Stream("base", at_once(1), 9.0))


def test_an_idle_engine_that_sleeps_pays_for_its_waking() -> None:
    """Two requests with a pause between: the second waits for the weights."""
    late = Arrivals(np.array([0.0, 100.0]), np.array([10, 10]), np.array([5, 5]))
    outcome = simulate(
        placement(engine()),
        [Stream("base", late, 9.0)],
        first_come(),
        shapes={"base": BASE},
        devices={"gpu": DEVICE},
        sleep_after_s=30.0,
    )
    first, second = outcome.finished - outcome.at
    assert second - first == pytest.approx(2**30 / 20e9)
    assert outcome.engines[0].counts.wakes == 1


def test_strict_priority_goes_first_and_deadlines_before_arrival() -> None:
    """With one slot, the order is the policy's."""
    low = Stream("base", at_once(5), 1.0, rank=1)
    high = Stream("base", at_once(5), 9.0, rank=0)
    where = placement(engine(slots=1))
    by_class = run(where, low, high, policy=strict())
    by_deadline = run(where, low, high, policy=deadlines())
    mean = [
        [float(outcome.finished[outcome.stream == number].mean()) for number in (0, 1)]
        for outcome in (by_class, by_deadline)
    ]
    assert mean[0][1] < mean[0][0]
    assert mean[1][0] < mean[1][1]


def test_what_no_engine_can_hold_is_refused_and_counts_against_the_objective() -> None:
    """A request longer than the context is not served, and not forgotten."""
    where = placement(engine())
    outcome = run(
        where,
        Stream("base", at_once(1), 9.0, name="calls"),
        Stream("base", at_once(1, prompt=9000), 9.0, name="calls"),
    )
    (calls,) = summarise(outcome, where).classes
    assert (calls.requests, calls.refused, calls.within) == (2, 1, 0.5)


def test_a_stream_without_an_engine_is_an_error() -> None:
    """The message names what is served."""
    with pytest.raises(BadInput, match="No engine serves other; the placement serves base"):
        run(placement(engine()), Stream("other", at_once(1), 9.0))


def test_a_base_that_is_not_described_is_an_error() -> None:
    """Speeds are never guessed."""
    with pytest.raises(BadInput, match="has base 'base' on 'gpu'"):
        simulate(placement(engine()), [Stream("base", at_once(1), 9.0)], first_come(), shapes={}, devices={})


def test_the_summary_prices_what_was_answered() -> None:
    """Dollars of the time that the run took, over the calls answered."""
    where = placement(engine())
    summary = summarise(run(where, Stream("base", at_once(10), 9.0)), where)
    assert summary.price_per_1000 == pytest.approx(100 * 2.0 * summary.seconds / 3600)
    assert summary.within == 1.0
    assert 0.9 < summary.busiest <= 1.0
    assert summary.to_dict()["classes"][0]["name"] == "base"
