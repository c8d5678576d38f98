from __future__ import annotations

import gzip
import json
from datetime import datetime
from itertools import islice
from pathlib import Path

import pytest

import offramp
from offramp.core.call import Call, OutputType
from offramp.discover.discover import Discovery, discover

TRAFFIC = Path(offramp.__file__).parent / "assets" / "traffic"
TAKEN = {"home_assistant": 1500, "intent_router": 1000, "airline": 700, "sql": 300}
"""Calls read of each file; enough for the smallest site, few enough for a second."""


def read(name: str) -> list[Call]:
    with gzip.open(TRAFFIC / f"{name}.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in islice(file, TAKEN[name])]
    return [
        Call(
            row["id"],
            datetime.fromisoformat(row["ts"]).timestamp(),
            row["session"],
            "",
            row["request"],
            row["response"],
            meta=row["meta"],
        )
        for row in rows
    ]


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    return [call for name in TAKEN for call in read(name)]


@pytest.fixture(scope="module")
def found(calls: list[Call]) -> Discovery:
    return discover(calls)


def test_tasks_are_the_call_sites_exactly(calls: list[Call], found: Discovery) -> None:
    pairs = {(call.meta["call_site"], found.assignment.get(call.id)) for call in calls}
    assert len(pairs) == len(found.tasks) == 22


def test_the_router_is_one_task_and_its_intents_are_labels_in_it(found: Discovery) -> None:
    (router,) = (task for task in found.tasks if task.name == "route user requests")
    assert (router.output, router.convertible) == (OutputType.LABEL, True)


def test_home_assistant_sites_answer_with_tool_calls(found: Discovery) -> None:
    home = [task for task in found.tasks if task.name.endswith("of a home assistant")]
    assert len(home) == 18
    assert {task.output for task in home} == {OutputType.TOOL_CALL}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Airline Agent Policy", "Mixed actions"),
        ("user interacting with an agent", "Free text in a dialogue"),
        ("SQLEnv is a multi-turn game that tests your ability", "SQL code"),
    ],
)
def test_what_has_no_measure_of_agreement_stays_with_the_teacher(
    found: Discovery, name: str, reason: str
) -> None:
    (task,) = (task for task in found.tasks if task.name == name)
    assert not task.convertible
    assert task.reason.startswith(reason) or reason in task.reason


def test_a_simulated_user_is_recognised_under_instructions_never_seen(calls: list[Call]) -> None:
    users = [call for call in calls if call.meta["call_site"] == "airline/user"]
    prompts = sorted({call.request["messages"][0]["content"] for call in users})
    seen = set(prompts[::2])
    known = discover([call for call in calls if call.request["messages"][0]["content"] not in prompts[1::2]])
    own = {known.assignment[call.id] for call in users if call.request["messages"][0]["content"] in seen}
    unseen = [call for call in users if call.request["messages"][0]["content"] not in seen]
    assert len(own) == 1
    assert unseen
    assert {known.assigner.assign(call.request) for call in unseen} == own
