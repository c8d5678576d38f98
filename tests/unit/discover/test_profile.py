"""What is said of a task: subtasks, cost, repetition, self-agreement, exemplars, chat."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from tests.unit.discover.world import TEAMS, calls_of, request, say, sorting, use

from offramp.core.call import Call, OutputType
from offramp.core.task import Profile, Subtask, Task
from offramp.discover.discover import discover
from offramp.discover.language import language_of

PROMPT = "You sort the letters of an insurance company by the team that has to answer them."


def only(calls: list[Call]) -> Task:
    (task,) = discover(calls, price=lambda call: 0.01).tasks
    return task


def test_labels_are_subtasks_with_their_shares() -> None:
    task = only(sorting(PROMPT, 90))
    assert task.subtasks == tuple(Subtask(f"answers {team}", 30, 30 / 90) for team in sorted(TEAMS))


def test_tools_are_subtasks_and_answers_without_one_too() -> None:
    pairs = [(request(PROMPT, f"x {i}", "open", "close"), use("open")) for i in range(60)]
    pairs += [(request(PROMPT, f"x {i}", "open", "close"), use("open", "close")) for i in range(20)]
    pairs += [(request(PROMPT, f"x {i}", "open", "close"), say("Which door do you mean?")) for i in range(20)]
    assert [(part.action, part.calls) for part in only(calls_of(pairs)).subtasks] == [
        ("calls open", 60),
        ("calls close, open", 20),
        ("says something", 20),
    ]


def test_an_action_of_few_sessions_is_not_named() -> None:
    pairs = [(request(PROMPT, f"x {i}", "open", "close"), use("open")) for i in range(60)]
    pairs += [(request(PROMPT, f"x {i}", "open", "close"), use("close")) for i in range(4)]
    assert [part.action for part in only(calls_of(pairs)).subtasks] == ["calls open", "anything else"]


def test_one_action_has_no_subtasks() -> None:
    assert (
        only(calls_of([(request(PROMPT, f"x {i}", "open"), use("open")) for i in range(30)])).subtasks == ()
    )


def test_whether_the_words_tell_the_subtask() -> None:
    told = [
        (request(PROMPT, f"about {TEAMS[i % 3]} please, case {i}"), say(TEAMS[i % 3])) for i in range(120)
    ]
    untold = [(request(PROMPT, f"letter number {i}"), say(TEAMS[i * 7919 % 11 % 3])) for i in range(120)]
    assert only(calls_of(told)).profile.predicted == 1.0
    profile = only(calls_of(untold)).profile
    assert profile.predicted is not None
    assert profile.usual is not None
    assert profile.predicted < 0.7


def test_cost_latency_and_what_could_be_saved() -> None:
    profile = only(sorting(PROMPT, 90)).profile
    assert profile.cost_usd == pytest.approx(0.9)
    assert profile.share_cost == pytest.approx(1.0)
    assert profile.saving_usd == pytest.approx(0.9)
    assert profile.latency_s == 0.5


def test_a_task_that_is_not_convertible_saves_nothing() -> None:
    calls = calls_of([(request(PROMPT, f"x {i}"), say(f"word {i} " * 30)) for i in range(90)])
    assert only(calls).profile.saving_usd == 0.0


def test_repetition_counts_messages_that_differ_in_values_only() -> None:
    same = calls_of([(request(PROMPT, f"letter {i} came"), say(TEAMS[i % 3])) for i in range(90)])
    assert only(same).profile.repetitiveness == pytest.approx(1 - 1 / 90)
    assert only(same).profile.entropy == 0.0
    names = [f"letter {chr(97 + i % 26)}{chr(97 + i // 26)} came" for i in range(90)]
    different = calls_of([(request(PROMPT, name), say(TEAMS[i % 3])) for i, name in enumerate(names)])
    assert only(different).profile.repetitiveness == 0.0
    assert only(different).profile.entropy == pytest.approx(1.0)


def test_questions_that_were_asked_again_are_told_by_their_calls() -> None:
    pairs = [(request(PROMPT, "letter"), say(team)) for team in ("sales", "sales", "legal")]
    pairs += [(request(PROMPT, f"other {chr(97 + i)}"), say("care")) for i in range(20)]
    calls = calls_of(pairs)
    calls[1] = replace(calls[1], request={**calls[1].request, "user": "u-2", "stream": True})
    found = discover(calls)
    (task,) = found.tasks
    assert found.repeated == {task.id: (tuple(call.id for call in calls[:3]),)}


def test_exemplars_keep_only_words_of_several_askers() -> None:
    names = ("Ann", "Bob", "Cem", "Dan", "Eve", "Fay", "Gus", "Hal")
    calls = calls_of([(request(PROMPT, f"Please call {n} about the bill"), say(TEAMS[0])) for n in names])
    profile = only(calls).profile
    assert profile.origins == 8
    assert profile.exemplars == ("Please call <*> about the bill",)


@pytest.mark.parametrize("origins", [["one"], [""], ["a", "b", "c", "d"]])
def test_few_or_unknown_askers_give_no_exemplars(origins: list[str]) -> None:
    calls = [replace(call, origin=origins[i % len(origins)]) for i, call in enumerate(sorting(PROMPT, 40))]
    assert only(calls).profile.exemplars == ()


def dialogue(*, simulated: bool) -> list[Call]:
    """Conversations of three turns; where simulated, another recorded call writes the user's turns."""
    agent = "You are the friendly voice of a travel agency and talk with its customers about their trips."
    persona = "You play a customer of a travel agency who wants to book a trip and says one line at a time."
    calls = []
    for number in range(40):
        messages = [{"role": "system", "content": agent}]
        for turn in range(3):
            line = f"Customer {chr(97 + number % 26)} of {chr(97 + number // 26)} says {chr(97 + turn)}"
            messages = [*messages, {"role": "user", "content": line}]
            answer = f"Of course, {number} and {turn}, " * 8
            if simulated:
                asked = request(persona, f"Hi {number} {turn}")
                calls.append(Call(f"u{number}-{turn}", number * 3 + turn, f"s{number}", "", asked, say(line)))
            calls.append(
                Call(
                    f"a{number}-{turn}",
                    number * 3 + turn + 0.5,
                    f"s{number}",
                    "",
                    {"model": "m", "messages": messages},
                    say(answer),
                )
            )
            messages = [*messages, {"role": "assistant", "content": answer}]
    return calls


def test_chat_with_people_is_recognised_and_left_out() -> None:
    (task,) = discover(dialogue(simulated=False)).tasks
    assert (task.chat, task.convertible, task.output) == (True, False, OutputType.TEXT)
    assert task.reason.startswith("Chat with people (median 2 user turns): left out.")


def test_a_user_whose_turns_another_call_wrote_is_a_program() -> None:
    assert [task.chat for task in discover(dialogue(simulated=True)).tasks] == [False, False]


def test_a_task_survives_being_stored() -> None:
    task = only(sorting(PROMPT, 90))
    assert Task.from_dict(asdict(task)) == task
    old = {k: v for k, v in asdict(task).items() if k not in {"chat", "subtasks", "profile"}}
    assert Task.from_dict(old) == replace(task, subtasks=(), profile=Profile())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("You sort the letters of the company and answer with the name of the team.", "en"),
        ("Du sortierst die Briefe und nennst das Team, das sie beantworten soll.", "de"),
        ("Vous triez les lettres de la société et vous donnez le nom de votre équipe.", "fr"),
        ("Ты сортируешь письма по отделам", "script:cyrillic"),
        ("あなたは手紙をチームごとに分けます", "script:kana"),
        ("SELECT name FROM teams", ""),
        ("", ""),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language
