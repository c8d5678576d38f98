import json

import pytest
from bench.gateway.payloads import AGENTS, SIZES, templates


@pytest.mark.parametrize("size", SIZES)
def test_every_request_has_the_size_it_is_named_for(size: str) -> None:
    lengths = {len(one.body(number)) for one in templates(size, "m", stream=False) for number in (0, 7)}
    assert all(abs(length - SIZES[size]) <= 2 for length in lengths)


@pytest.mark.parametrize("size", SIZES)
def test_no_two_requests_are_alike(size: str) -> None:
    made = templates(size, "m", stream=False)
    bodies = {made[number % len(made)].body(number) for number in range(1_000)}
    assert len(bodies) == 1_000


def test_the_number_stands_before_the_history_so_that_no_prefix_repeats() -> None:
    template = templates("32k", "m", stream=False)[0]
    one, other = template.body(1), template.body(2)
    differs = next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    assert differs < 0.2 * len(one)


@pytest.mark.parametrize("size", SIZES)
def test_requests_are_chat_calls_of_a_few_agents(size: str) -> None:
    requests = [json.loads(one.body(3)) for one in templates(size, "the-model", stream=True)]
    assert {request["model"] for request in requests} == {"the-model"}
    assert all(request["stream"] is True and request["tools"] for request in requests)
    assert len({json.dumps(request["tools"]) for request in requests}) == AGENTS


def test_every_tool_call_of_a_history_has_its_result() -> None:
    request = json.loads(templates("32k", "m", stream=False)[5].body(1))
    called = [call["id"] for one in request["messages"] for call in one.get("tool_calls", [])]
    answered = [one["tool_call_id"] for one in request["messages"] if one["role"] == "tool"]
    assert called == answered != []


def test_the_body_does_not_grow_with_its_number() -> None:
    template = templates("2k", "m", stream=False)[0]
    assert len(template.body(0)) == len(template.body(10**12 + 5))
