from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, Call
from offramp.core.dataset import PARTS, Item
from offramp.core.errors import BadInput
from offramp.core.model import Example
from offramp.curate.dedupe import count, near_key, normalised, set_apart
from offramp.curate.split import Leakage, Shares, find_leakage, require_clean, split

TEXTS = ("dim the hall", "Dim the hall!", "play a song", "stop", "17", "18", "?!", "...")


def item(number: int, session: str, text: str, *, at: float | None = None, task: str = "t") -> Item:
    request = {"messages": [{"role": "user", "content": text}]}
    call = Call(f"c{number:04d}", float(number) if at is None else at, session, "", request, {})
    return Item(call, task, Answer("ok"), Example(call.id, text, "ok"), near_key(task, text))


ROWS = st.lists(
    st.tuples(
        st.integers(0, 9).map("s{}".format) | st.just(""),
        st.sampled_from(TEXTS) | st.text(max_size=4),
        st.floats(0, 50),
        st.sampled_from(["t", "u"]),
    ),
    min_size=1,
    max_size=60,
)
SHARES = st.sampled_from(
    [Shares(), Shares(0.5, 0.2, 0.2, 0.1), Shares(0.0, 0.0, 0.5, 0.5), Shares(1.0, 0.0, 0.0)]
)


def items_of(rows: list[tuple[str, str, float, str]]) -> list[Item]:
    return [item(i, session, text, at=at, task=task) for i, (session, text, at, task) in enumerate(rows)]


@given(ROWS, SHARES)
def test_nothing_leaks_from_part_to_part(rows: list[tuple[str, str, float, str]], shares: Shares) -> None:
    parts, repeats = set_apart(split(items_of(rows), shares))
    assert find_leakage(parts, repeats) == Leakage(0, 0, 0)


@given(ROWS, SHARES)
def test_every_call_is_in_one_part_or_set_apart(
    rows: list[tuple[str, str, float, str]], shares: Shares
) -> None:
    items = items_of(rows)
    parts, repeats = set_apart(split(items, shares))
    placed = [i.call.id for half in (parts, repeats) for name in PARTS for i in half[name]]
    assert sorted(placed) == [i.call.id for i in items]


@given(ROWS, SHARES)
def test_the_order_of_the_calls_does_not_matter(
    rows: list[tuple[str, str, float, str]], shares: Shares
) -> None:
    items = items_of(rows)
    assert split(items[::-1], shares) == split(items, shares)


@given(st.integers(20, 200), SHARES)
def test_parts_have_their_shares(number: int, shares: Shares) -> None:
    parts = split([item(i, f"s{i}", str(i)) for i in range(number)], shares)
    for name, share in shares.of_parts().items():
        assert abs(len(parts[name]) - share * number) <= 1


def test_a_session_stays_whole_and_sessions_are_in_order_of_their_first_call() -> None:
    rows = [item(0, "a", "1"), item(1, "b", "2"), item(2, "c", "3"), item(3, "a", "4")]
    parts = split(rows, Shares(0.5, 0.25, 0.25, 0.0))
    assert [i.call.id for i in parts["train"]] == ["c0000", "c0003"]
    assert [i.call.session for i in parts["validation"]] == ["b"]
    assert [i.call.session for i in parts["calibration"]] == ["c"]


def test_a_repeat_of_an_earlier_part_is_set_apart() -> None:
    parts = {
        "train": [item(0, "a", "dim the hall"), item(1, "a", "dim the hall")],
        "validation": [item(2, "b", "DIM the hall."), item(3, "b", "stop")],
        "calibration": [item(4, "c", "stop!"), item(5, "c", "play"), item(6, "d", "play")],
    }
    clean, repeats = set_apart(parts)
    assert {name: len(clean[name]) for name in PARTS} == {
        "train": 2,
        "validation": 1,
        "calibration": 2,
        "test": 0,
    }
    assert {name: [i.call.id for i in repeats[name]] for name in PARTS} == {
        "train": [],
        "validation": ["c0002"],
        "calibration": ["c0004"],
        "test": [],
    }


@pytest.mark.parametrize(
    ("parts", "leakage"),
    [
        ({"train": [item(0, "a", "1")], "test": [item(1, "a", "2")]}, Leakage(1, 0, 0)),
        ({"train": [item(0, "a", "x")], "calibration": [item(1, "b", "X!")]}, Leakage(0, 1, 0)),
        ({"train": [item(5, "a", "1")], "validation": [item(1, "b", "2")]}, Leakage(0, 0, 1)),
    ],
)
def test_each_leak_is_found_and_stops_the_work(parts: dict[str, list[Item]], leakage: Leakage) -> None:
    assert find_leakage(parts, {}) == leakage
    with pytest.raises(BadInput, match="leaks"):
        require_clean(leakage)


def test_a_session_that_begins_with_a_repeat_is_in_order() -> None:
    rows = [item(0, "a", "x"), item(1, "b", "x"), item(2, "c", "y"), item(3, "b", "z")]
    parts, repeats = set_apart(split(rows, Shares(0.25, 0.5, 0.25, 0.0)))
    assert [i.call.session for i in repeats["validation"]] == ["b"]
    assert find_leakage(parts, repeats).is_clean


def test_a_clean_split_passes() -> None:
    require_clean(Leakage(0, 0, 0))


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5, 0.0), (1.2, -0.2, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)])
def test_shares_that_are_none_are_refused(shares: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadInput, match="add up to 1"):
        Shares(*shares)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Dim the hall!", "dim  the-hall", True),
        ("ÉTÉ", "été", True),
        ("room 17", "room 18", False),
        ("?!", "...", False),
        ("dim the hall", "dim the halls", False),
    ],
)
def test_near_duplicates_differ_in_case_and_punctuation_only(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


def test_one_text_in_two_tasks_is_no_duplicate() -> None:
    assert near_key("t", "stop") != near_key("u", "stop")


def test_duplicates_are_counted_exact_and_near() -> None:
    found = count([item(i, "s", text) for i, text in enumerate(["a", "a", "A!", "b", "B"])])
    assert (found.exact, found.near) == (1, 3)
