from __future__ import annotations

import pytest

from offramp.core.call import OutputType
from offramp.core.task import Change, ChangeKind, Profile, Subtask, Task
from offramp.report.task_list import render_changes, render_tasks


def task(name: str, profile: Profile, subtasks: tuple[Subtask, ...] = ()) -> Task:
    return Task(
        f"t-{name}",
        "v",
        name,
        "s",
        OutputType.LABEL,
        9,
        0.1,
        0.2,
        9,
        True,
        "why",
        name,
        False,
        subtasks,
        profile,
    )


PARTS = tuple(Subtask(f"calls {name}", 1, 0.25) for name in "abcd")
ROUTER = task("router", Profile(share_cost=0.5, saving_usd=2.0, repeats=40, self_agreement=0.9), PARTS)
POET = task("poet", Profile(saving_usd=0.0, predicted=0.8, usual=0.4), PARTS[:2])


def test_the_task_that_saves_most_comes_first_with_its_figures() -> None:
    lines = render_tasks([POET, ROUTER]).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("t-")] == ["t-router", "t-poet"]
    assert "50.0%" in lines[1]
    assert "90% of 40" in lines[1]
    assert lines[1].endswith("yes: why")


def test_subtasks_stand_under_their_task() -> None:
    lines = render_tasks([POET, ROUTER]).splitlines()
    assert lines[2].strip() == "25% calls a, 25% calls b, 25% calls c, 1 more"
    assert lines[4].strip() == "25% calls a, 25% calls b; its words tell 80% (a guess: 40%)"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (Change(ChangeKind.NEW, (), ("t-router",), (9,)), "new: t-router (router), 9 calls"),
        (
            Change(ChangeKind.SPLIT, ("t-router",), ("t-router", "t-poet"), (5, 4)),
            "split: t-router (router) into t-router (router) 5 calls, t-poet (poet) 4 calls",
        ),
        (
            Change(ChangeKind.MERGED, ("t-poet", "t-old"), ("t-poet",), (5, 4)),
            "merged: t-poet (poet) 5 calls, t-old 4 calls into t-poet (poet)",
        ),
        (
            Change(ChangeKind.REWORDED, ("t-poet",), ("t-poet",), (7,)),
            "reworded: t-poet (poet) has another prompt, 7 calls",
        ),
        (
            Change(ChangeKind.QUIET, ("t-old",), (), ()),
            "quiet: t-old has no calls any more; its rules are kept",
        ),
    ],
)
def test_every_change_is_said_in_a_line(change: Change, line: str) -> None:
    assert render_changes([change], [ROUTER, POET]).splitlines() == ["Since the last discovery:", f"  {line}"]
