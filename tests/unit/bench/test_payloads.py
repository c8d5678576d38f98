import itertools
import json

import pytest
from bench.gateway.payloads import AGENTS, SESSIONS, SIZES, templates


@pytest.mark.parametrize("size", SIZES)
def test_every_unique_request_has_the_size_it_is_named_for(size: str) -> None:
    made = templates(size, "m", stream=False, unique=True)
    assert all(abs(len(one.body(number)) - SIZES[size]) <= 2 for one in made for number in (0, 7))


def test_every_question_has_the_size_it_is_named_for() -> None:
    assert {len(one.body(7)) for one in templates("2k", "m", stream=False)} == {SIZES["2k"]}


def test_conversations_have_the_size_they_are_named_for_on_average_at_any_time() -> None:
    lengths = [len(one.body(7)) for one in templates("32k", "m", stream=False)]
    for start in range(0, len(lengths), SESSIONS):
        assert abs(sum(lengths[start : start + SESSIONS]) / SESSIONS - SIZES["32k"]) < 0.1 * SIZES["32k"]


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_no_two_requests_are_alike(size: str, *, unique: bool) -> None:
    made = templates(size, "m", stream=False, unique=unique)
    bodies = {made[number % len(made)].body(number) for number in range(1_000)}
    assert len(bodies) == 1_000


def test_a_request_of_a_conversation_is_the_one_before_it_and_two_messages() -> None:
    made = templates("32k", "m", stream=False)
    numbers = range(3 * len(made) + 5, 4 * len(made), SESSIONS)
    session = [json.loads(made[number % len(made)].body(number)) for number in numbers]
    pairs = list(itertools.pairwise(session))
    grown = [after["messages"][:-2] == before["messages"] for before, after in pairs]
    assert grown.count(False) == 1
    assert all(after["tools"] == before["tools"] for before, after in pairs)


def test_a_conversation_that_begins_anew_shares_no_message_with_a_number_in_it() -> None:
    made = templates("32k", "m", stream=False)
    one, other = (json.loads(made[0].body(number))["messages"] for number in (0, len(made)))
    assert one[1] != other[1]


def test_the_number_of_a_unique_request_stands_before_the_history_so_that_no_prefix_repeats() -> None:
    template = templates("32k", "m", stream=False, unique=True)[0]
    one, other = template.body(1), template.body(2)
    differs = next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    assert differs < 0.2 * len(one)


@pytest.mark.parametrize("size", SIZES)
def test_requests_are_chat_calls_of_a_few_agents(size: str) -> None:
    requests = [json.loads(one.body(3)) for one in templates(size, "the-model", stream=True)]
    assert {request["model"] for request in requests} == {"the-model"}
    assert all(request["stream"] is True and request["tools"] for request in requests)
    assert len({json.dumps(request["tools"]) for request in requests}) == AGENTS
    assert len({request["messages"][0]["content"] for request in requests}) == AGENTS


def test_every_tool_call_of_a_history_has_its_result() -> None:
    request = json.loads(templates("32k", "m", stream=False)[5].body(1))
    called = [call["id"] for one in request["messages"] for call in one.get("tool_calls", [])]
    answered = [one["tool_call_id"] for one in request["messages"] if one["role"] == "tool"]
    assert called == answered != []


def test_the_body_does_not_grow_with_its_number() -> None:
    template = templates("2k", "m", stream=False)[0]
    assert len(template.body(0)) == len(template.body(10**12 + 5))
