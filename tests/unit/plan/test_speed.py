"""Shares and neighbours against figures that others published; sources are in docs/planning.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.fleets import BASE

from offramp.core.errors import BadInput
from offramp.plan.devices import load_devices
from offramp.plan.speed import Speed, fitted, roofline

A100 = load_devices()["a100-80gb"]
WHOLE = roofline(BASE, A100)


def on(share: float) -> Speed:
    return roofline(BASE, A100, share=share)


def decoding_s(speed: Speed, batch: int, neighbours: float = 0.0) -> float:
    return speed.iteration_s(prefill=0, attended=0, decoding=batch, cached=512 * batch, neighbours=neighbours)


@pytest.mark.parametrize(("share", "published", "within"), [(0.5, 1.65, 0.01), (0.3, 2.6, 0.09)])
def test_prompts_on_a_share_take_as_long_as_measured(share: float, published: float, within: float) -> None:
    assert on(share).prefill_factor == pytest.approx(published, rel=within)


@pytest.mark.parametrize("batch", [1, 16, 64])
def test_decoding_on_half_the_multiprocessors_is_hardly_slower(batch: int) -> None:
    """Published: 1.09 to 1.20 times up to 64 at once."""
    ratio = decoding_s(on(0.5), batch) / decoding_s(WHOLE, batch)
    assert 1.05 <= ratio <= 1.20


def test_two_copies_on_a_device_keep_about_half_the_throughput_each() -> None:
    """Published: 44 to 88 % of a dedicated device's; divided bandwidth is the low end of that."""
    kept = decoding_s(WHOLE, 16) / decoding_s(WHOLE, 16, neighbours=1)
    assert 0.44 <= kept <= 0.55


def test_a_degree_that_nobody_measured_is_refused() -> None:
    with pytest.raises(BadInput, match="3 devices"):
        roofline(BASE, A100, degree=3)


@given(
    st.floats(0.005, 0.05),
    st.lists(st.tuples(st.integers(2, 64), st.floats(1.0, 3.0)), max_size=4),
    st.floats(1e3, 1e5),
)
def test_no_measured_step_is_underestimated(
    alone: float, factors: list[tuple[int, float]], rate: float
) -> None:
    steps = [(1, alone), *((batch, alone * factor) for batch, factor in factors)]
    found = fitted(WHOLE, prompt_tokens_per_s=rate, steps=steps, through_adapter=True)
    for batch, seconds in steps:
        step = found.iteration_s(prefill=0, attended=0, decoding=batch, cached=0)
        assert step >= seconds / 1.0201
    assert found.prompt_s == pytest.approx(1 / rate)
