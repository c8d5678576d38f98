from __future__ import annotations

from dataclasses import asdict

from offramp.app.decisions import decisions, render_decisions
from offramp.loop import state
from offramp.select import Trial
from offramp.testing.memory_store import MemoryStore

OLD = {"kind": "cache", "calls": 10, "agreement": 0.1, "coverage": 0.0, "seconds": 1.0, "note": ""}


def test_a_decision_says_what_became_of_every_kind() -> None:
    store = MemoryStore()
    chosen = Trial("template", 90, 0.9, 0.8, 1.0, "", 0.0002, 0.004, "chosen: the best")
    trials = [OLD, asdict(Trial("lora", 0, 0.0, 0.0, 0.0, "answers are labels")), asdict(chosen)]
    store.put(
        state.CONVERSION,
        "t-1",
        {"name": "route", "tasks": ["t-1"], "chosen": asdict(chosen), "trials": trials},
    )
    (found,) = decisions(store)
    assert (found.name, found.chosen, found.tasks) == ("route", "template", ("t-1",))
    assert [one.kind for one in found.considered] == ["template", "cache", "lora"]
    assert [one.measured for one in found.considered] == [True, True, False]
    text = render_decisions([found])
    assert text.splitlines()[0] == "route: template"
    assert "could answer  80%" in text
    assert "0.20 ms, 0.0040 USD per 1,000: chosen: the best" in text
    assert "lora        not tried: answers are labels" in text


def test_units_of_most_tasks_come_first_and_none_are_no_lines() -> None:
    store = MemoryStore()
    for key, tasks in (("t-1", ["t-1"]), ("t-2", ["t-2", "t-3"])):
        value = {"name": key, "tasks": tasks, "chosen": {"kind": "keep_llm"}, "trials": []}
        store.put(state.CONVERSION, key, value)
    assert [one.name for one in decisions(store)] == ["t-2", "t-1"]
    assert render_decisions([]) == ""
