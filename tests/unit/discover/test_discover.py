from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.discover.world import request, say, use

from offramp.core.call import Call, OutputType, Usage
from offramp.discover.assign import Assigner
from offramp.discover.discover import discover
from offramp.discover.sighting import tokens_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from offramp.core.json import JsonObject

PERSONA = "You play a customer of a shop who writes to it.\n\nInstruction: {}\n\nRules:\n- Say one line only."
WISHES = (
    "a red chair",
    "two blue lamps",
    "your money back",
    "some advice",
    "nothing at all",
    "the cheapest bed",
)
MOODS = ("calm", "cross", "in a hurry", "polite to a fault", "new here")
ROOMS = "You handle {} requests of a home assistant. Answer with the one action that fits the request."


def calls_of(
    pairs: Sequence[tuple[JsonObject, JsonObject]], *, start: int = 0, per_session: int = 1
) -> list[Call]:
    return [
        Call(f"c{i:05d}", float(i), f"s{i // per_session}", "", asked, answer)
        for i, (asked, answer) in enumerate(pairs, start)
    ]


def wish(number: int) -> str:
    return f"Ask for {WISHES[number % 6]}. You are {MOODS[number % 5]}."


def mixture() -> list[Call]:
    """Four call sites: two sharing a tool list's prompt, one templated, one label task."""
    pairs: list[tuple[JsonObject, JsonObject]] = []
    for number in range(60):
        pairs.append((request("You run a house.", f"light {number}", "on", "off"), use("on")))
        pairs.append((request("You run a house.", f"song {number}", "play", "stop"), use("play")))
        pairs.append((request(PERSONA.format(wish(number)), "Hello?"), say(f"I want {number} things")))
        pairs.append(
            (request("Sort the mail by team.", f"mail {number}"), say(("sales", "legal")[number % 2]))
        )
    return calls_of(pairs)


def sites(found: dict[str, str]) -> Iterator[set[str]]:
    groups: dict[str, set[str]] = {}
    for call, task in found.items():
        groups.setdefault(task, set()).add(call)
    return iter(groups.values())


def test_call_sites_become_tasks() -> None:
    found = discover(mixture())
    assert sorted((task.calls, task.output) for task in found.tasks) == [
        (60, OutputType.LABEL),
        (60, OutputType.TEXT),
        (60, OutputType.TOOL_CALL),
        (60, OutputType.TOOL_CALL),
    ]
    assert {call.id for call in mixture()} == set(found.assignment)


def test_one_prompt_with_two_tool_lists_is_two_tasks() -> None:
    found = discover(mixture())
    lights, songs = ({found.assignment[f"c{i:05d}"] for i in range(start, 240, 4)} for start in (0, 1))
    assert len(lights) == len(songs) == 1
    assert lights != songs


def test_a_free_form_slot_is_one_task_and_takes_unseen_fillings() -> None:
    found = discover(mixture())
    task = found.assignment["c00002"]
    assert (
        found.assigner.assign(request(PERSONA.format("Ask for a sofa bed. You are bored."), "Yes?")) == task
    )


@given(st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_the_order_of_the_calls_does_not_matter(rng: random.Random) -> None:
    calls = mixture()
    known = discover(calls)
    rng.shuffle(calls)
    found = discover(calls)
    assert found.tasks == known.tasks
    assert found.assigner.to_dict() == known.assigner.to_dict()


def test_labels_in_meta_are_not_read() -> None:
    tagged = [replace(call, meta={"call_site": call.id, "subtask": call.id}) for call in mixture()]
    assert discover(tagged).tasks == discover(mixture()).tasks


def test_more_calls_of_the_same_kind_keep_ids_and_versions() -> None:
    calls = mixture()
    later = [replace(c, id=f"later-{c.id}", at=c.at + 1e6, session=f"later-{c.session}") for c in calls]
    known = {(task.id, task.version, task.slug) for task in discover(calls).tasks}
    assert {(task.id, task.version, task.slug) for task in discover([*calls, *later]).tasks} == known


def test_every_call_is_assigned_by_its_request_alone() -> None:
    calls = mixture()
    found = discover(calls)
    assigner = Assigner.from_dict(json.loads(json.dumps(found.assigner.to_dict())))
    assert {call.id: assigner.assign(call.request) for call in calls} == dict(found.assignment)


@pytest.mark.parametrize(
    "unknown",
    [
        request("You run a garden.", "light 1", "on", "off"),
        request("You run a house.", "light 1", "on", "off", "dim"),
        request("You run a house.", "light 1"),
        request("", "light 1"),
        {},
    ],
)
def test_an_unknown_call_site_has_no_task(unknown: JsonObject) -> None:
    assert discover(mixture()).assigner.assign(unknown) is None


def test_a_changed_prompt_is_another_task() -> None:
    found = discover(mixture())
    assert found.assigner.assign(request("Sort the mail by team and by urgency.", "mail 1")) is None


def test_a_changed_tool_description_is_another_version_of_the_same_task() -> None:
    calls = calls_of([(request("You run a house.", f"light {i}", "on"), use("on")) for i in range(4)])
    told = json.loads(
        json.dumps(calls[3].request).replace('"name": "on"', '"name": "on", "description": "d"')
    )
    before, after = discover(calls).tasks[0], discover([*calls[:3], replace(calls[3], request=told)]).tasks[0]
    assert before.id == after.id
    assert before.version != after.version


def rooms_of(answers: dict[str, tuple[str, str]], *, each: int, per_session: int = 1) -> list[Call]:
    rooms = list(answers)
    pairs = [
        (request(ROOMS.format(room), f"do {i}"), say(answers[room][i % 2]))
        for i in range(each)
        for room in rooms
    ]
    return calls_of(pairs, per_session=per_session)


def test_a_word_with_few_values_over_many_sessions_names_call_sites() -> None:
    same = dict.fromkeys(("light", "music", "alarm"), ("yes", "no"))
    assert len(discover(rooms_of(same, each=40)).tasks) == 3


def test_a_word_whose_values_keep_coming_is_a_slot() -> None:
    same = {f"room{chr(97 + i)}": ("yes", "no") for i in range(20)}
    assert len(discover(rooms_of(same, each=5)).tasks) == 1


def test_a_word_that_changes_the_answers_names_call_sites_even_when_rare() -> None:
    names = [f"room{chr(97 + i)}" for i in range(12)]
    own = {name: (f"{name} on", f"{name} off") for name in names}
    found = discover(rooms_of(own, each=30, per_session=12))
    assert len(found.tasks) == 12
    # No unseen wording can be given to any of them.
    assert found.assigner.assign(request(ROOMS.format("roomz"), "do it")) is None


def test_quoted_words_that_change_the_answers_name_call_sites() -> None:
    prompts = {'Is it so? Say "yes" or "no".': ("yes", "no"), 'Is it so? Say "aye" or "nay".': ("aye", "nay")}
    pairs = [(request(p, f"mail {i}"), say(prompts[p][i % 2])) for i in range(60) for p in prompts]
    found = discover(calls_of(pairs))
    assert sorted(map(len, sites(dict(found.assignment)))) == [60, 60]
    assert found.assigner.assign(request('Is it so? Say "oui" or "non".', "mail")) is None


def test_quoted_words_that_do_not_are_a_slot() -> None:
    pairs = [(request(f'Write to customer "{i % 3}".', f"mail {i}"), say("word " * 30)) for i in range(90)]
    assert len(discover(calls_of(pairs)).tasks) == 1


def test_without_a_prompt_the_tools_are_the_call_site() -> None:
    pairs = [
        (request("", f"what is the weather in town {i}", "get_weather"), use("get_weather")) for i in range(9)
    ]
    found = discover(calls_of(pairs))
    assert [task.name for task in found.tasks] == ["calls of get_weather"]
    assert found.assigner.assign(request("", "and in the next one?", "get_weather")) == found.tasks[0].id


def test_without_a_prompt_the_message_frame_is_the_call_site() -> None:
    towns = ("Rome", "Oslo", "Lima", "Cairo")
    pairs = [(request("", f"Name the country of this town: {t}"), say("x")) for t in towns for _ in range(3)]
    found = discover(calls_of(pairs))
    assert len(found.tasks) == 1
    assert found.assigner.assign(request("", "Name the country of this town: Bern")) == found.tasks[0].id


def test_what_does_not_recur_is_no_task() -> None:
    pairs = [(request("", text), say("ok")) for text in ("hello there", "who are you", "sing something")]
    found = discover(calls_of(pairs))
    assert found.tasks == ()
    assert dict(found.assignment) == {}


def test_a_users_words_are_named_only_when_many_sessions_share_them() -> None:
    pairs = [(request("", "Remind Ann of her appointment"), say("ok"))] * 10
    assert discover(calls_of(pairs, per_session=10)).tasks[0].name == "repeated request"
    assert discover(calls_of(pairs)).tasks[0].name == "Remind Ann of her appointment"


def test_shares_are_of_all_calls_and_tokens() -> None:
    calls = [replace(call, usage=Usage(90, 10)) for call in mixture()]
    for task in discover(calls).tasks:
        assert task.share_calls == pytest.approx(0.25)
        assert task.share_tokens == pytest.approx(0.25)
        assert task.sessions == 60


def test_tokens_are_estimated_where_nobody_counted() -> None:
    counted = Call("a", 0.0, "", "", request("p", "x" * 400), say("y" * 400), usage=Usage(7, 3))
    assert tokens_of(counted) == 10
    assert tokens_of(replace(counted, usage=Usage())) == 201


def test_failed_calls_count_but_do_not_shape_the_task() -> None:
    calls = mixture()
    failed = [replace(c, id=f"x{c.id}", status=500, response={"error": "x"}) for c in calls[:12]]
    outputs = sorted(task.output for task in discover([*calls, *failed]).tasks)
    assert outputs == sorted(task.output for task in discover(calls).tasks)
    assert sum(task.calls for task in discover([*calls, *failed]).tasks) == len(calls) + 12


def test_no_calls_are_no_tasks() -> None:
    assert discover([]).tasks == ()


NESTED = json.loads('{"a":' * 300 + "1" + "}" * 300)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"messages": "text"},
        {"messages": [None, 7, {"role": "user", "content": [None, {"text": 3}]}, {"role": 1}]},
        {"messages": [{"role": "user", "content": "\ud800"}], "response_format": {"name": "\ud800"}},
        {"messages": [{"role": "user", "content": "x"}], "tools": [None, {"function": {"name": "\udfff"}}]},
        {"messages": [{"role": "user", "content": 2**70}], "n": 2**70},
        {"messages": [{"role": "user", "content": "x", "extra": NESTED}]},
    ],
)
def test_odd_requests_are_discovered_in_like_any_other(odd: JsonObject) -> None:
    calls = [replace(call, request=odd) for call in calls_of([(odd, say("ok"))] * 3)]
    found = discover([*calls, *(replace(c, id=f"m{c.id}") for c in mixture())])
    assert len(found.tasks) >= 4
