from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from offramp.certify.units import (
    Drawing,
    ScoredCalls,
    Unit,
    answerable,
    calibration_units,
    check_disjoint,
    first_of_session,
    kept_share,
    length_cap,
    mix,
    mix_distance,
    natural_unit,
    validation_units,
)
from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from random import Random

DRAWS = (Unit.CALL, Unit.WEIGHTED, Unit.SESSION)
MIXES = st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 1.0), min_size=1).map(
    lambda raw: {task: value / sum(raw.values()) for task, value in raw.items()}
)


def calls(lengths: list[int], *, task: str = "t") -> ScoredCalls:
    """Sessions of these lengths; the confidence of a call says which it is."""
    session = [f"s{at}" for at, length in enumerate(lengths) for _ in range(length)]
    rows = len(session)
    confidence = np.arange(1, rows + 1, dtype=np.float64) / (rows + 1)
    names = [f"c{row}" for row in range(rows)]
    return ScoredCalls([task] * rows, session, names, confidence, np.arange(rows) % 3 == 0)


def owners(every: ScoredCalls, answer_at: np.ndarray) -> list[str]:
    return [every.session[every.confidence.tolist().index(one)] for one in answer_at.tolist()]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(0, 99))
def test_one_call_is_drawn_from_each_session(lengths: list[int], seed: int) -> None:
    every = calls(lengths)
    units = calibration_units(every, Drawing(seed=seed))
    assert sorted(owners(every, units.answer_at)) == sorted(set(every.session))
    assert set(units.weight.tolist()) == {1.0}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_draw_does_not_depend_on_the_order_of_rows(lengths: list[int], random: Random) -> None:
    every = calls(lengths)
    rows = list(range(len(every)))
    random.shuffle(rows)
    shuffled = every.take(np.array(rows))
    for unit in DRAWS:
        here, there = (calibration_units(one, Drawing(unit, cap=3)) for one in (every, shuffled))
        assert sorted(here.answer_at.tolist()) == sorted(there.answer_at.tolist())
        assert sorted(here.error_at.tolist()) == sorted(there.error_at.tolist())


def test_each_call_of_a_session_is_drawn_equally_often() -> None:
    every = calls([5])
    drawn = Counter(float(calibration_units(every, Drawing(seed=seed)).answer_at[0]) for seed in range(2000))
    assert len(drawn) == 5
    assert float(chisquare(list(drawn.values())).pvalue) > 0.001


def test_weighted_draws_take_each_call_of_the_traffic_equally_often() -> None:
    every = calls([1, 2, 4])
    drawn: Counter[float] = Counter()
    for seed in range(3000):
        drawn.update(calibration_units(every, Drawing(Unit.WEIGHTED, seed, cap=4)).answer_at.tolist())
    assert len(drawn) == 7
    assert float(chisquare(list(drawn.values())).pvalue) > 0.001
    assert sum(drawn.values()) == pytest.approx(3000 * 7 / 4, rel=0.05)


def test_weighted_draws_equal_plain_ones_where_sessions_have_one_call() -> None:
    every = calls([1] * 30)
    plain, weighted = (calibration_units(every, Drawing(unit)) for unit in (Unit.CALL, Unit.WEIGHTED))
    assert plain.answer_at.tolist() == weighted.answer_at.tolist()


def test_a_session_counts_as_wrong_as_soon_as_any_of_its_answers_is() -> None:
    every = ScoredCalls(
        task=["t"] * 4,
        session=["a", "a", "b", "b"],
        call=["1", "2", "3", "4"],
        confidence=np.array([0.9, 0.4, 0.8, 0.3]),
        loss=np.array([False, True, False, False]),
    )
    for units in (
        calibration_units(every, Drawing(Unit.SESSION)),
        validation_units(every, Drawing(Unit.SESSION)),
    ):
        assert units.answer_at.tolist() == [0.9, 0.8]
        assert units.error_at.tolist() == [0.4, -np.inf]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.sampled_from(list(Unit)))
def test_validation_weights_sum_to_the_sessions(lengths: list[int], unit: Unit) -> None:
    assert float(validation_units(calls(lengths), Drawing(unit)).weight.sum()) == pytest.approx(len(lengths))


def test_validation_weights_make_sessions_or_calls_equal() -> None:
    every = calls([1, 3])
    assert validation_units(every, Drawing()).weight.tolist() == [1.0, 1 / 3, 1 / 3, 1 / 3]
    for unit in (Unit.WEIGHTED, Unit.EVERY):
        assert validation_units(every, Drawing(unit, cap=3)).weight.tolist() == [0.5] * 4
        assert validation_units(every, Drawing(unit, cap=1)).weight.tolist() == pytest.approx(
            [1.0, 1 / 3, 1 / 3, 1 / 3]
        )


@pytest.mark.parametrize("unit", DRAWS)
def test_deferred_tasks_are_never_answered_and_keep_their_part_in_the_draw(unit: Unit) -> None:
    every = calls([1] * 8, task="risky")
    units = calibration_units(every, Drawing(unit, deferred=frozenset({"risky"})))
    assert units.answer_at.tolist() == [-np.inf] * 8


@pytest.mark.parametrize("unit", DRAWS)
def test_below_its_floor_a_task_is_never_answered(unit: Unit) -> None:
    every = calls([1] * 9, task="risky")
    free, held = (
        calibration_units(every, Drawing(unit, floors=floors)) for floors in ({"other": 0.9}, {"risky": 0.5})
    )
    assert held.answer_at.tolist() == [at if at >= 0.5 else -np.inf for at in free.answer_at.tolist()]
    assert bool(np.all(held.error_at <= held.answer_at))


def test_a_deferred_task_has_an_endless_floor() -> None:
    drawing = Drawing(deferred=frozenset({"a"}), floors={"b": 0.7})
    assert [drawing.floor(task) for task in "abc"] == [np.inf, 0.7, 0.0]


def test_whole_sessions_are_no_draws() -> None:
    with pytest.raises(BadInput, match="Whole sessions"):
        calibration_units(calls([2]), Drawing(Unit.EVERY, cap=2))


@pytest.mark.parametrize("unit", DRAWS)
def test_no_calls_give_no_units(unit: Unit) -> None:
    nothing = calls([])
    assert len(calibration_units(nothing, Drawing(unit)).weight) == 0
    assert len(validation_units(nothing, Drawing(unit)).weight) == 0
    assert length_cap(nothing) == 1


def test_every_call_is_answerable_at_its_confidence() -> None:
    every = calls([2])
    assert answerable(every, Drawing()).answer_at.tolist() == every.confidence.tolist()


def test_the_first_of_each_session_is_the_one_of_lowest_priority() -> None:
    session, priority = np.array([1, 0, 1, 0]), np.array([0.2, 0.9, 0.1, 0.3])
    assert first_of_session(session, priority).tolist() == [3, 2]


@pytest.mark.parametrize(
    ("lengths", "cap"),
    [
        ([], 1),
        ([1] * 9, 1),
        ([1] * 8 + [2], 2),
        ([4, 5, 8], 8),
        ([1] * 90 + [100], 100),
        ([1] * 900 + [3] * 100 + [50], 3),
    ],
)
def test_the_cap_is_the_length_beyond_which_few_calls_lie(lengths: list[int], cap: int) -> None:
    assert length_cap(calls(lengths)) == cap


def test_the_unit_of_a_share_of_all_calls_depends_on_how_long_sessions_are() -> None:
    assert natural_unit(1) is Unit.CALL
    assert natural_unit(2) is Unit.EVERY


def test_only_weighted_draws_leave_sessions_out() -> None:
    every = calls([1, 1, 2, 4])
    assert kept_share(every, Drawing(Unit.WEIGHTED, cap=4)) == pytest.approx((0.25 + 0.25 + 0.5 + 1) / 4)
    assert kept_share(every, Drawing(Unit.CALL, cap=4)) == 1.0
    assert kept_share(calls([]), Drawing(Unit.WEIGHTED, cap=4)) == 1.0


def test_calls_of_one_task_are_taken_out() -> None:
    every = ScoredCalls(["a", "b"], ["1", "2"], ["x", "y"], np.array([0.1, 0.2]), np.array([True, False]))
    only = every.of_task("b")
    assert (list(only.call), only.confidence.tolist(), only.loss.tolist()) == (["y"], [0.2], [False])


def test_a_mix_is_a_share_of_calls() -> None:
    assert mix(["b", "a", "b", "b"]) == {"a": 0.25, "b": 0.75}
    assert mix([]) == {}


@given(MIXES, MIXES, MIXES)
def test_the_mix_distance_is_a_distance(
    one: dict[str, float], two: dict[str, float], three: dict[str, float]
) -> None:
    assert mix_distance(one, one) == 0.0
    assert mix_distance(one, two) == mix_distance(two, one)
    assert 0.0 <= mix_distance(one, two) <= 1.0 + 1e-12
    assert mix_distance(one, three) <= mix_distance(one, two) + mix_distance(two, three) + 1e-12


def test_disjoint_parts_pass() -> None:
    check_disjoint({"train": ["a", "a"], "validation": ["b"], "test": []})


def test_a_leak_is_refused_with_its_parts_and_values() -> None:
    with pytest.raises(BadInput, match=r"4 call id value\(s\) are in both train and test \(a, b, c\)"):
        check_disjoint({"train": "abcd", "validation": "e", "test": "dcba"[::-1]}, "call id")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"session": ["s"]}, "must be equal"),
        ({"confidence": np.array([0.5, 1.5])}, "within 0 to 1"),
        ({"confidence": np.array([0.5, np.nan])}, "within 0 to 1"),
        ({"call": ["x", "x"]}, "same id"),
    ],
)
def test_scored_calls_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    columns: dict[str, object] = {
        "task": ["t", "t"],
        "session": ["s", "s"],
        "call": ["x", "y"],
        "confidence": np.array([0.5, 0.5]),
        "loss": np.array([True, False]),
    }
    with pytest.raises(BadInput, match=message):
        ScoredCalls(**{**columns, **change})  # type: ignore[arg-type]  # wrong on purpose
