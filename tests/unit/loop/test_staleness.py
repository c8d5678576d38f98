from __future__ import annotations

import json

import pytest
from tests.unit.loop.test_state import conversion, member, task

from offramp.core.call import OutputType
from offramp.core.deployment import Deployment
from offramp.core.errors import NotFound
from offramp.core.measure import Measure, Measures
from offramp.core.task import Task
from offramp.loop import state
from offramp.loop.staleness import compared, why_stale
from offramp.testing.memory_store import MemoryStore

TASKS = {"a": task("a"), "b": task("b")}
LOOSE = Measures(tasks={"a": Measure.TEXT})


def deployment(output: str = "label", measure: str = Measure.LABEL.wording) -> Deployment:
    return Deployment(
        "s-1", ("a",), 0.9, 0.05, 0.05, mix={"a": 0.5, "b": 0.5}, output=output, measure=measure
    )


def test_what_was_certified_in_the_settings_sense_is_fresh() -> None:
    assert why_stale(deployment(), TASKS, Measures()) == ""
    chosen = Measures(forms={OutputType.LABEL: Measure.TEXT})
    assert why_stale(deployment(measure=Measure.TEXT.wording), TASKS, chosen) == ""


@pytest.mark.parametrize("certified", [Measure.LABEL.wording, ""])
def test_another_sense_for_any_member_makes_it_stale(certified: str) -> None:
    """An older offramp wrote no measure: it knew only the form's own."""
    reason = why_stale(deployment(measure=certified), TASKS, Measures(tasks={"b": Measure.TEXT}))
    was, now = Measure.LABEL.wording, Measure.TEXT.wording
    assert reason == f"certified for agreement ({was}); the settings compare b otherwise ({now})"


def test_a_strict_certificate_is_no_loose_one_and_the_other_way_round() -> None:
    assert why_stale(deployment(measure=Measure.TEXT.wording), TASKS, Measures())
    assert why_stale(deployment(), TASKS, LOOSE)


def test_audits_compare_the_form_that_was_certified_whatever_was_discovered_since() -> None:
    """A night of failed calls must not take out what works."""
    broken = {name: task(name, output=OutputType.ERROR) for name in TASKS}
    assert why_stale(deployment(), broken, Measures()) == ""
    assert compared(deployment(), broken, Measures())["a"] == (OutputType.LABEL, Measure.LABEL)
    assert compared(deployment(output=""), TASKS, Measures())["a"] == (OutputType.LABEL, Measure.LABEL)


def test_a_stale_certificate_is_not_promoted_and_says_why() -> None:
    store = MemoryStore()
    state.save_tasks(store, TASKS.values(), {})
    state.save_conversions(store, [conversion(member(name), specialist=f"s-{name}") for name in TASKS])
    assert set(state.stale_certificates(store, LOOSE)) == {"s-a"}
    assert [found.specialist for found in state.promote(store, measures=LOOSE)] == ["s-b"]
    with pytest.raises(NotFound, match=r"s-a was certified for agreement \(label"):
        state.promote(store, "a", measures=LOOSE)
    assert [found.specialist for found in state.promote(store, "a")] == ["s-a"]


def test_a_task_keeps_its_measure_in_the_store() -> None:
    store = MemoryStore()
    state.save_tasks(store, [task("a")], {})
    value = json.loads(json.dumps(store.documents(state.TASK)["a"]))
    assert Task.from_dict({**value, "measure": "tools-loose"}).measure is Measure.TOOLS_LOOSE
    del value["measure"]
    assert Task.from_dict(value).measure is None
