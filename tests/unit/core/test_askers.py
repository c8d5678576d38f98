from __future__ import annotations

import json

import pytest

from offramp.core.askers import masked, shared, words
from offramp.core.call import Answer, Call
from offramp.core.dataset import Item
from offramp.core.model import Example


def item(origin: str, session: str = "", task: str = "t") -> Item:
    call = Call(f"{origin}{session}", 0.0, session, origin, {}, {})
    return Item(call, task, Answer("x"), Example("", "", "x"), "")


def kept(items: list[Item], said: list[str], least: int = 3) -> set[str]:
    return {thing for _, thing in shared(items, map(str.split, said), least)}


def test_what_enough_origins_said_is_kept_and_what_one_repeats_is_not() -> None:
    items = [item("a"), item("b"), item("c"), *(item("d", str(n)) for n in range(9))]
    assert kept(items, ["on", "on", "on off", *["secret off"] * 9]) == {"on"}


def test_where_there_are_fewer_origins_all_of_them_are_needed() -> None:
    assert kept([item("a"), item("b"), item("b")], ["on", "on off", "off"]) == {"on"}


@pytest.mark.parametrize("origin", ["", "the only key"])
def test_sessions_stand_in_for_the_origins_of_a_single_one(origin: str) -> None:
    items = [item(origin, session) for session in ("1", "1", "1", "2", "3", "4")]
    assert kept(items, ["secret on"] * 3 + ["on", "on", "off"]) == {"on"}


def test_calls_of_nobody_in_particular_lend_no_support_where_askers_are_known() -> None:
    assert kept([item("a"), item("b"), item("", "1"), item("", "2")], ["on", "on", "off", "off"]) == {"on"}


def test_each_task_has_askers_of_its_own() -> None:
    items = [item("a"), item("b"), item("a", task="u"), item("c", task="u")]
    found = shared(items, [["x"], ["y"], ["x"], ["x"]], 2)
    assert found == {("u", "x")}


def test_only_kept_words_are_shown() -> None:
    common = {("t", word) for word in words("call Zoë at noon")}
    assert masked("Call Zoë's safe 493817 at NOON.", "t", common) == "Call Zoë'… … 0 at NOON."
    assert masked("call", "another task", common) == "…"


def test_masked_json_stays_json() -> None:
    body = json.dumps({"text": 'say "x"\n\tnoon', "level": -3.5, "deep": {"é": "\u2028"}}, ensure_ascii=True)
    shown = json.loads(masked(body, "t", {("t", word) for word in ("text", "level", "deep")}))
    assert shown["level"] == -0.0
    assert shown["text"] == '… "…"\n\t…'
