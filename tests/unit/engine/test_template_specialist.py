from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, OutputType, ToolCall
from offramp.core.errors import EngineError
from offramp.engine.specialist import Card, TaskCard, TaskRequest
from offramp.engine.template_specialist import FILE, Pattern, Rule, Slot, TemplateSpecialist
from offramp.testing.traffic import ask

if TYPE_CHECKING:
    from pathlib import Path

ALARM = Rule("t", r"^wake me at (\S+)$", ('alarm {"time":"', Slot(1, "quoted"), '"}'), 9, 9)
WAKE = Rule("t", r"\bwake\b", ('alarm {"time":"noon"}',), 5, 6)


def card(output: OutputType = OutputType.TOOL_CALL) -> Card:
    return Card("template-1", "template", {task: TaskCard(task, output) for task in ("t", "u")})


def item(payload: str, task: str = "t") -> TaskRequest:
    return TaskRequest(task, ask("Do it.", payload))


def test_a_slot_is_copied_from_the_request() -> None:
    (seen,) = TemplateSpecialist(card(), [ALARM]).consider([item("wake me at 7:30")])
    assert seen.answer == Answer(tool_calls=(ToolCall("alarm", {"time": "7:30"}),))
    assert seen.features[0] == pytest.approx(0.9)


def test_what_no_rule_matches_defers() -> None:
    specialist = TemplateSpecialist(card(), [ALARM])
    assert [s.answer for s in specialist.consider([item("sing"), item("wake me at 8", "u")])] == [None, None]


def test_the_first_rule_wins_and_the_others_are_evidence() -> None:
    sure, unsure = TemplateSpecialist(card(), [ALARM, WAKE]).consider(
        [item("wake me at noon"), item("wake me at 6")]
    )
    assert sure.answer is not None
    assert sure.features[3:] == (1.0, 1.0)
    assert unsure.features[3:] == (1.0, 0.0)
    assert len(sure.features) == len(unsure.features)


@given(st.text(min_size=1).filter(lambda text: not any(c.isspace() for c in text)))
def test_any_text_in_a_slot_gives_json_that_reads_back(text: str) -> None:
    said = Pattern(ALARM).apply(f"wake me at {text}")
    assert said is not None
    assert json.loads(said.partition(" ")[2]) == {"time": text}


@pytest.mark.parametrize(
    ("text", "filled"), [("7", "7"), ("-1.5e3", "-1.5e3"), ("07", None), ("x", None), ("NaN", None)]
)
def test_a_number_slot_takes_json_numbers_only(text: str, filled: str | None) -> None:
    assert Slot(1, "number").fill(text) == filled


def test_a_request_made_to_be_slow_is_not() -> None:
    rule = Rule("t", r"^(?:a+)+(\S*)(?:a+)+b$", ("x",), 3, 3)
    started = time.process_time()
    assert Pattern(rule).apply("a" * 20_000) is None
    # Backtracking would take longer than the universe is old; this bound is a thousand times too wide.
    assert time.process_time() - started < 30


@pytest.mark.parametrize("rule", [Rule("t", "(", ("x",), 1, 1), Rule("t", "x", (Slot(1, "plain"),), 1, 1)])
def test_a_rule_that_cannot_work_is_refused(rule: Rule) -> None:
    with pytest.raises(EngineError, match="template's"):
        TemplateSpecialist(card(), [rule])


def test_a_foreign_task_is_refused() -> None:
    with pytest.raises(EngineError, match="does not serve task v"):
        TemplateSpecialist(card(), [ALARM]).consider([item("wake me at 7", "v")])


def test_it_survives_its_folder(tmp_path: Path) -> None:
    made = TemplateSpecialist(card(), [ALARM, WAKE])
    made.save(tmp_path)
    loaded = TemplateSpecialist.load(tmp_path)
    assert loaded.rules == made.rules
    assert loaded.card == made.card


@pytest.mark.parametrize("content", [None, "", "{}x", "[1]", '[{"task": "t"}]'])
def test_a_broken_folder_is_named(content: str | None, tmp_path: Path) -> None:
    card().save(tmp_path)
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(EngineError, match="holds no templates"):
        TemplateSpecialist.load(tmp_path)
