"""What must not change a task: order, sampling, longer payloads, other languages, another wording."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.discover.world import calls_of, request, say, sorting, use

from offramp.core.task import ChangeKind
from offramp.discover.discover import discover

if TYPE_CHECKING:
    from offramp.core.call import Call
    from offramp.discover.discover import Discovery

PROMPT = "You sort the letters of an insurance company by the team that has to answer them."
REWORDED = "You sort letters of an insurance company by the one team that has to answer them soon."
GERMAN = "Du sortierst die Briefe einer Versicherung nach dem Team, das sie beantworten soll, und nicht mehr."
OTHER = "Write a short poem about whatever the reader of this page mentions in the message below."


def poems(count: int, *, start: int = 0) -> list[Call]:
    pairs = [(request(OTHER, f"sea {i}"), say(f"line {i} " * 20)) for i in range(count)]
    return calls_of(pairs, start=start)


def task_of(found: Discovery, prompt: str, payload: str = "hello") -> str | None:
    return found.assigner.assign(request(prompt, payload))


def test_a_payload_ten_times_longer_is_the_same_task() -> None:
    found = discover(sorting(PROMPT, 30))
    assert task_of(found, PROMPT, "a long letter " * 500) == found.tasks[0].id


@pytest.mark.parametrize("payload", ["Bitte um eine Rechnung", "我想退款", "أريد فاتورة"])
def test_a_payload_in_another_language_is_the_same_task(payload: str) -> None:
    found = discover(sorting(PROMPT, 30))
    assert task_of(found, PROMPT, payload) == found.tasks[0].id


def test_a_reworded_prompt_is_the_same_task_in_a_new_version() -> None:
    before, after = sorting(PROMPT, 60), sorting(REWORDED, 60, start=60)
    (old,) = discover(before).tasks
    (new,) = discover([*before, *after]).tasks
    assert new.id == old.id
    assert new.version != old.version
    assert new.calls == 120


def test_a_like_prompt_at_the_same_time_is_another_task() -> None:
    mixed = [
        replace(call, at=float(i))
        for i, pair in enumerate(zip(sorting(PROMPT, 60), sorting(REWORDED, 60, start=60), strict=True))
        for call in pair
    ]
    assert len(discover(mixed).tasks) == 2


def test_an_unlike_prompt_that_follows_is_another_task() -> None:
    assert len(discover([*sorting(PROMPT, 60), *sorting(OTHER, 60, start=60)]).tasks) == 2


def test_a_prompt_that_follows_after_a_long_silence_is_another_task() -> None:
    later = [replace(call, at=call.at + 1e6) for call in sorting(REWORDED, 60, start=60)]
    assert len(discover([*sorting(PROMPT, 60), *later]).tasks) == 2


def test_a_prompt_in_two_languages_is_one_task() -> None:
    english, german = sorting(PROMPT, 60), sorting(GERMAN, 60, start=60)
    mixed = [replace(call, at=float(int(call.id[1:]) % 60)) for call in (*english, *german)]
    (task,) = discover(mixed).tasks
    assert task.calls == 120


def test_two_languages_that_answer_differently_are_two_tasks() -> None:
    pairs = [(request(GERMAN, f"Brief {i}"), say(("ja", "nein")[i % 2])) for i in range(60)]
    mixed = [
        replace(c, at=float(int(c.id[1:]) % 60)) for c in (*sorting(PROMPT, 60), *calls_of(pairs, start=60))
    ]
    assert len(discover(mixed).tasks) == 2


def test_a_sample_of_the_sessions_finds_the_same_tasks() -> None:
    calls = [*sorting(PROMPT, 80), *poems(80, start=80)]
    known = discover(calls)
    found = discover(random.Random(0).sample(calls, 100))
    assert {task: known.assignment[call] for call, task in found.assignment.items()}.keys() == {
        task.id for task in found.tasks
    }
    assert len(found.tasks) == len(known.tasks) == 2


def test_night_by_night_and_from_scratch_agree() -> None:
    calls = [*sorting(PROMPT, 80), *poems(80, start=80)]
    random.Random(1).shuffle(calls)
    calls = [replace(call, at=float(i)) for i, call in enumerate(calls)]
    whole = discover(calls)
    night = discover(calls[:80])
    for end in (120, 160):
        night = discover(calls[:end], previous=night.memory)
    ids = {night.assignment[call]: task for call, task in whole.assignment.items()}
    assert night.assignment.keys() == whole.assignment.keys()
    assert len(ids) == len(set(ids.values())) == 2
    assert night.changes == ()


def test_ids_persist_when_the_first_calls_are_gone() -> None:
    towns = ("Rome", "Oslo", "Lima", "Cairo", "Bern", "Baku", "Doha", "Kiev")
    calls = calls_of([(request("", f"Name the country of this town: {town}"), say("x")) for town in towns])
    (first,) = discover(calls[:5]).tasks
    (scratch,) = discover(calls[4:]).tasks
    (kept,) = discover(calls[4:], previous=discover(calls[:5]).memory).tasks
    assert scratch.id != first.id
    assert kept.id == first.id


def test_a_task_that_nobody_called_is_quiet_and_keeps_its_rules() -> None:
    first = discover([*sorting(PROMPT, 30), *poems(30, start=30)])
    second = discover(sorting(PROMPT, 30, start=60), previous=first.memory)
    assert [change.kind for change in second.changes] == [ChangeKind.QUIET]
    assert task_of(second, OTHER) == task_of(first, OTHER) is not None
    third = discover(sorting(PROMPT, 30, start=90), previous=second.memory)
    assert third.changes == ()
    back = discover([*sorting(PROMPT, 30), *poems(30, start=30)], previous=third.memory)
    assert {task.id for task in back.tasks} == {task.id for task in first.tasks}


def test_a_new_task_is_reported() -> None:
    first = discover(sorting(PROMPT, 30))
    (change,) = discover([*sorting(PROMPT, 30), *poems(30, start=30)], previous=first.memory).changes
    assert (change.kind, change.before, change.calls) == (ChangeKind.NEW, (), (30,))


def test_a_reworded_prompt_keeps_its_id_when_the_old_calls_are_gone() -> None:
    first = discover(sorting(PROMPT, 60))
    second = discover(sorting(REWORDED, 60, start=60), previous=first.memory)
    assert [task.id for task in second.tasks] == [task.id for task in first.tasks]
    assert [task.version for task in second.tasks] != [task.version for task in first.tasks]
    (change,) = second.changes
    assert (change.kind, change.calls) == (ChangeKind.REWORDED, (60,))


def test_a_split_is_reported_with_the_calls_that_went_where() -> None:
    rooms = ("light", "music", "alarm")
    prompt = "You handle {} requests of a home assistant. Answer with the one action that fits."

    def night(start: int, each: int) -> list[Call]:
        # Answers tell nothing at first: too few of them for a form.
        return calls_of(
            [(request(prompt.format(r), f"do {i}"), say(f"{r} {i % 2}")) for i in range(each) for r in rooms],
            start=start,
        )

    first = discover(night(0, 2))
    assert len(first.tasks) == 1
    second = discover([*night(0, 2), *night(6, 40)], previous=first.memory)
    assert len(second.tasks) == 3
    (split,) = (change for change in second.changes if change.kind is ChangeKind.SPLIT)
    assert split.before == split.after[:1] == (first.tasks[0].id,)
    assert sorted(split.calls) == [42, 42, 42]


def test_a_merge_is_reported_and_the_larger_task_keeps_its_id() -> None:
    names = [chr(97 + i) * 3 for i in range(12)]
    prompt = "You handle {} requests of a home assistant. Answer with the one action that fits."
    many = calls_of(
        [(request(prompt.format(n), f"do {i}"), say("word " * 30)) for n in names for i in range(3)]
    )
    closed = [call for call in many if any(f" {n} " in str(call.request) for n in names[:2])]
    first = discover(closed)
    assert len(first.tasks) == 2
    second = discover(many, previous=first.memory)
    assert len(second.tasks) == 1
    (merged,) = second.changes
    assert (merged.kind, sorted(merged.before)) == (ChangeKind.MERGED, sorted(t.id for t in first.tasks))
    assert second.tasks[0].id in merged.before


def test_a_tool_more_is_a_version_when_it_replaces_the_old_list() -> None:
    before = calls_of([(request(PROMPT, f"x {i}", "open", "close"), use("open")) for i in range(40)])
    after = calls_of(
        [(request(PROMPT, f"x {i}", "open", "close", "lock"), use("open")) for i in range(40)], start=40
    )
    (task,) = discover([*before, *after]).tasks
    assert task.calls == 80
