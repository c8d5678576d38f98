from __future__ import annotations

import math

import pytest

from offramp.train.guard import Diverged, LossGuard


def watch(guard: LossGuard, losses: list[float], first: int = 1) -> None:
    for step, loss in enumerate(losses, first):
        guard.watch(step, loss, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_caught_at_once(bad: float) -> None:
    with pytest.raises(Diverged, match="at step 3: the loss is"):
        watch(LossGuard(), [2.0, 2.0, bad])
    with pytest.raises(Diverged, match="gradient's norm is"):
        LossGuard().watch(1, 2.0, bad)


def test_an_explosion_is_caught_at_its_third_step() -> None:
    guard = LossGuard()
    watch(guard, [3.0 / step for step in range(1, 40)])
    with pytest.raises(Diverged, match="it has been 0") as caught:
        watch(guard, [9.0] * 3, first=40)
    assert "at step 42" in caught.value.message


def test_a_run_that_only_gets_worse_is_caught_early() -> None:
    with pytest.raises(Diverged, match="at step 4"):
        watch(LossGuard(), [3.0, 3.2, 12.0, 18.0])


def test_two_hard_batches_and_an_easy_first_one_are_no_explosion() -> None:
    watch(LossGuard(), [0.1, 2.5, 2.4, 2.6, 2.2] + [2.0] * 20 + [9.0, 9.0] + [2.0] * 20)


def test_a_restored_guard_goes_on() -> None:
    one, other = LossGuard(), LossGuard()
    watch(one, [1.0] * 20)
    other.restore(one.state())
    with pytest.raises(Diverged):
        watch(other, [9.0, 9.0, 9.0])
