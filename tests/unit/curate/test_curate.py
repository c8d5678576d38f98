from __future__ import annotations

import json

import pytest

from offramp.core.call import Call, OutputType
from offramp.core.errors import BadInput
from offramp.core.task import Task
from offramp.curate.curate import curate
from offramp.curate.split import Shares


def task(name: str, output: OutputType = OutputType.TOOL_CALL) -> Task:
    return Task(
        f"t-{name}", f"v-{name}", name, "s", output, 1, 1.0, 1.0, 1, convertible=True, reason="", slug=name
    )


def call(number: int, text: str, *, tool: str = "dim") -> Call:
    function = {"name": tool, "arguments": json.dumps({"room": text.rsplit(maxsplit=1)[-1]})}
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": function}]}
    request = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        "tools": [
            {"type": "function", "function": {"name": tool, "parameters": {"properties": {"room": {}}}}}
        ],
    }
    response = {"model": "teacher-1", "choices": [{"message": message, "finish_reason": "tool_calls"}]}
    return Call(f"c{number:04d}", float(number), f"s{number}", "", request, response)


CALLS = [call(i, f"please do something in room{i}", tool=("dim", "shut")[i % 2]) for i in range(200)]
ASSIGNMENT = {c.id: ("t-dim", "t-shut")[i % 2] for i, c in enumerate(CALLS)}
BOTH = [task("dim"), task("shut")]


def test_one_task_is_split_by_the_default_shares() -> None:
    made = curate(CALLS, ASSIGNMENT, BOTH[:1])
    assert {name: len(items) for name, items in made.parts.items()} == {
        "train": 55,
        "validation": 20,
        "calibration": 25,
        "test": 0,
    }
    assert made.tasks == ("t-dim",)


def test_a_group_shares_one_split_and_keeps_its_tasks_apart() -> None:
    made = curate(CALLS, ASSIGNMENT, BOTH)
    assert made.card["parts"]["train"]["by_task"] == {"t-dim": 55, "t-shut": 55}
    assert {item.example.prompt.split(":")[0] for item in made.parts["train"]} == {"dim", "shut"}
    assert all(item.task == ASSIGNMENT[item.call.id] for item in made.parts["train"])


def test_facts_come_from_the_training_part_only() -> None:
    early = [call(i, f"dim it in room{i}") for i in range(50)]
    strange = [call(i, f"leave room{i}") for i in range(50, 100)]
    late = [
        Call(
            c.id,
            c.at,
            c.session,
            "",
            {**c.request, "messages": [{"role": "user", "content": f"x{c.id}"}]},
            c.response,
        )
        for c in strange
    ]
    assignment = {c.id: "t-dim" for c in (*early, *late)}
    made = curate([*late, *early], assignment, BOTH[:1], shares=Shares(0.5, 0.25, 0.25, 0.0))
    assert made.facts["t-dim"].copies


def test_repeats_are_kept_beside_the_parts() -> None:
    repeated = [call(i, f"dim room{i % 60}") for i in range(100)]
    made = curate(repeated, dict.fromkeys((c.id for c in repeated), "t-dim"), BOTH[:1])
    assert made.card["repeats"] == {"train": 0, "validation": 15, "calibration": 25, "test": 0}
    assert [len(made.repeats[name]) for name in ("train", "validation", "calibration")] == [0, 15, 25]
    assert made.card["duplicates"] == {"exact": 40, "near": 40}


def test_the_card_is_json_and_says_where_the_data_came_from() -> None:
    broken = Call("bad", 5.5, "s", "", {}, {}, 500)
    card = curate([*CALLS, broken], {**ASSIGNMENT, "bad": "t-dim"}, BOTH, terms="CC BY 4.0").card
    assert json.loads(json.dumps(card)) == card
    assert card["tasks"][0] == {"id": "t-dim", "version": "v-dim", "name": "dim", "output": "tool_call"}
    assert card["dropped"] == {"the call failed": 1}
    assert card["teachers"] == {"teacher-1": 200}
    assert card["leakage"] == {"sessions": 0, "near_duplicates": 0, "out_of_order": 0}
    assert card["terms"] == "CC BY 4.0"
    assert card["parts"]["train"]["last_at"] <= card["parts"]["validation"]["first_at"]


def test_the_hash_of_a_part_changes_with_its_calls_and_not_with_their_order() -> None:
    known = curate(CALLS, ASSIGNMENT, BOTH).card
    assert curate(CALLS[::-1], ASSIGNMENT, BOTH).card == known
    fewer = curate(CALLS[1:], ASSIGNMENT, BOTH).card
    assert fewer["parts"]["train"]["calls_hash"] != known["parts"]["train"]["calls_hash"]


def test_no_usable_call_is_an_error_that_says_why() -> None:
    with pytest.raises(BadInput, match=r"no usable call of dim .*100 dropped: another form"):
        curate(CALLS, ASSIGNMENT, [task("dim", OutputType.JSON)])
