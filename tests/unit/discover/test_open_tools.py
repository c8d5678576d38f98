"""Tools that differ from call to call, and several tasks behind one prompt."""

from __future__ import annotations

import pytest
from tests.unit.discover.world import TEAMS, calls_of, request, say, sorting, use

from offramp.discover.discover import discover

AGENT = "You are an agent that can use many tools. Do the task step by step. Your tools are: {}."
GENERIC = "You are a helpful assistant."


def test_tools_of_their_own_for_every_call_are_one_task_without_a_prompt() -> None:
    calls = calls_of([(request("", f"question {i}", f"tool_{i}"), use(f"tool_{i}")) for i in range(20)])
    found = discover(calls)
    (task,) = found.tasks
    assert task.calls == 20
    assert found.assigner.assign(request("", "another", "never_seen")) == task.id
    assert found.assigner.assign(request("", "another")) is None


def test_a_frequent_tool_list_is_a_task_of_its_own_beside_them() -> None:
    rare = [(request("", f"question {i}", f"tool_{i}"), use(f"tool_{i}")) for i in range(20)]
    usual = [(request("", f"weather in town {i}", "get_weather"), use("get_weather")) for i in range(80)]
    assert sorted(task.calls for task in discover(calls_of([*rare, *usual])).tasks) == [20, 80]


def test_tools_of_their_own_for_every_run_are_one_task_under_a_templated_prompt() -> None:
    pairs = [
        (request(AGENT.format(f"tool{chr(97 + i)}"), "go", f"tool{chr(97 + i)}"), use(f"tool{chr(97 + i)}"))
        for i in range(12)
    ]
    found = discover(calls_of(pairs))
    (task,) = found.tasks
    assert found.assigner.assign(request(AGENT.format("toolz"), "go", "toolz")) == task.id


def test_tools_of_their_own_under_one_fixed_prompt_are_one_task() -> None:
    prompt = "Use whichever of the tools fits the question of the user, and exactly one of them."
    pairs = [(request(prompt, f"question {i}", f"tool_{i}"), use(f"tool_{i}")) for i in range(12)]
    assert len(discover(calls_of(pairs)).tasks) == 1


def test_three_tool_lists_that_recur_are_three_tasks() -> None:
    pairs = [
        (request("You run a house.", f"x {i}", f"tool_{i % 3}"), use(f"tool_{i % 3}")) for i in range(60)
    ]
    assert len(discover(calls_of(pairs)).tasks) == 3


INSTRUCTIONS = {
    "head": ("Summarise this complaint in one line:\n{}", "Translate the following to French:\n{}"),
    "tail": ("{}\nSummarise this complaint in one line.", "{}\nTranslate the above into French."),
}


@pytest.mark.parametrize("side", INSTRUCTIONS)
def test_two_instructions_behind_one_prompt_are_two_tasks(side: str) -> None:
    texts = INSTRUCTIONS[side]
    pairs = [(request(GENERIC, texts[i % 2].format(f"text {i}")), say(f"word {i} " * 20)) for i in range(160)]
    found = discover(calls_of(pairs))
    assert [task.calls for task in found.tasks] == [80, 80]
    one, other = (found.assigner.assign(request(GENERIC, text.format("new"))) for text in texts)
    assert {one, other} == {task.id for task in found.tasks}
    assert found.assigner.assign(request(GENERIC, "what is the time?")) is None
    assert {task.name for task in found.tasks} == {
        "Summarise this complaint in one line",
        "Translate the " + ("following to French" if side == "head" else "above into French"),
    }


def test_messages_with_neither_instruction_stay_the_prompts_own_task() -> None:
    texts = INSTRUCTIONS["head"]
    pairs = [(request(GENERIC, texts[i % 2].format(f"text {i}")), say(f"word {i} " * 20)) for i in range(160)]
    pairs += [(request(GENERIC, f"hello there {i}"), say("hi, how are you? " * 9)) for i in range(8)]
    found = discover(calls_of(pairs))
    assert [task.calls for task in found.tasks] == [80, 80, 8]
    assert found.assigner.assign(request(GENERIC, "and now?")) == found.tasks[2].id


def test_a_field_in_the_first_line_is_no_instruction_where_the_answers_are_one_set() -> None:
    pairs = [
        (request(GENERIC, f"The customer is {('gold', 'new')[i % 2]}\nletter {i}"), say(TEAMS[i % 3]))
        for i in range(160)
    ]
    assert len(discover(calls_of(pairs)).tasks) == 1


def test_like_instructions_are_one_task_where_answers_are_free_text() -> None:
    pairs = [
        (request(GENERIC, f"Translate this into {('French', 'German')[i % 2]}:\ntext {i}"), say("word " * 30))
        for i in range(160)
    ]
    assert len(discover(calls_of(pairs)).tasks) == 1


def test_how_people_open_a_conversation_is_no_instruction() -> None:
    greetings = ("Good morning", "Hello there my friend", "I want to")
    pairs = [(request(GENERIC, f"{greetings[i % 3]} ask {i}"), say("word " * 30)) for i in range(200)]
    assert len(discover(calls_of(pairs)).tasks) == 1


def test_a_fork_survives_being_stored_and_keeps_its_ids() -> None:
    texts = INSTRUCTIONS["head"]
    pairs = [(request(GENERIC, texts[i % 2].format(f"text {i}")), say(f"word {i} " * 20)) for i in range(160)]
    first = discover(calls_of(pairs))
    later = [(request(GENERIC, texts[i % 2].format(f"more {i}")), say(f"word {i} " * 20)) for i in range(160)]
    second = discover(calls_of(later, start=1000), previous=first.memory)
    assert {task.id for task in second.tasks} == {task.id for task in first.tasks}
    assert second.changes == ()


def test_one_task_is_not_split_by_its_sessions() -> None:
    assert len(discover(sorting("Sort the letters by the team that has to answer them.", 200)).tasks) == 1
