"""A specialist answers in place of the teacher."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.flow.gateway.world import BOOKING, HELLO, TOOLS, USAGE, ask, ask_raw

from offramp.core.call import Answer
from offramp.core.decision import Routing

if TYPE_CHECKING:
    from tests.flow.gateway.world import World

    from offramp.core.json import JsonObject

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_idle_router_is_not_asked(world: World) -> None:
    response = await ask_raw(world)
    assert world.router.asked == []
    assert response.headers["x-offramp-route"] == "teacher"
    assert not {"x-offramp-task", "x-offramp-reason", "x-offramp-confidence"} & set(response.headers)


async def test_a_specialist_answers_without_the_teacher(world: World) -> None:
    world.answers_itself(Answer("Good day."))
    response = await ask_raw(world)
    completion = response.parse()
    assert completion.choices[0].message.content == "Good day."
    assert (completion.model, completion.choices[0].finish_reason) == ("gpt-4o", "stop")
    assert completion.usage.total_tokens > 0
    assert world.teacher.heard == []


async def test_the_fields_say_who_answered(world: World) -> None:
    world.answers_itself(Answer("x"))
    headers = (await ask_raw(world)).headers
    names = ("x-offramp-route", "x-offramp-task", "x-offramp-confidence", "x-offramp-reason")
    assert [headers.get(name) for name in names] == ["s1", "t1", "0.988", None]


async def test_a_specialists_tool_call_has_openais_form(world: World) -> None:
    world.answers_itself(BOOKING)
    choice = (await ask(world, tools=TOOLS)).choices[0]
    call = choice.message.tool_calls[0]
    assert call.id.startswith("call_")
    assert (call.type, call.function.name) == ("function", "book")
    assert json.loads(call.function.arguments) == {"to": "Zürich", "seats": 2}
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)


async def test_a_specialist_answers_a_stream_with_a_stream(world: World) -> None:
    world.answers_itself(BOOKING)
    asked: Any = {"model": "gpt-4o", "messages": HELLO, "tools": TOOLS}
    async with world.client.chat.completions.stream(**asked) as stream:
        completion: Any = await stream.get_final_completion()
    call = completion.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"to": "Zürich", "seats": 2}
    assert completion.model == "gpt-4o"


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_specialists_stream_ends_with_usage_where_asked(world: World, wanted: bool) -> None:
    world.answers_itself(Answer("Good day."))
    options = {"stream_options": USAGE} if wanted else {}
    chunks = [chunk async for chunk in await ask(world, stream=True, **options)]
    assert (chunks[-1].usage is not None) is wanted


async def test_the_old_function_form_is_answered_in_the_old_form(world: World) -> None:
    world.answers_itself(BOOKING)
    choice = (await ask(world, functions=[TOOLS[0]["function"]])).choices[0]
    assert choice.message.function_call.name == "book"
    assert choice.finish_reason == "function_call"


async def test_a_deferred_call_goes_to_the_teacher_with_the_reason(world: World) -> None:
    world.router.idle = False
    world.router.routing = Routing(task="t1", reason="below threshold", confidence=0.5)
    headers = (await ask_raw(world)).headers
    names = ("x-offramp-route", "x-offramp-task", "x-offramp-confidence", "x-offramp-reason")
    assert [headers.get(name) for name in names] == ["teacher", "t1", "0.500", "below threshold"]
    assert len(world.teacher.heard) == 1


@pytest.mark.parametrize("fields", [{"n": 2}, {"logprobs": True}, {"top_logprobs": 3, "logprobs": True}])
async def test_what_no_specialist_can_give_goes_to_the_teacher(world: World, fields: JsonObject) -> None:
    world.answers_itself(Answer("x"))
    response = await ask_raw(world, **fields)
    assert response.headers["x-offramp-route"] == "teacher"
    assert response.headers["x-offramp-reason"]
    assert world.router.asked == []


async def test_a_router_that_fails_means_the_teacher(world: World) -> None:
    world.answers_itself(Answer("x"))
    world.router.failure = RuntimeError("a bug")
    response = await ask_raw(world)
    assert response.parse().choices[0].message.content == "ok"
    assert response.headers["x-offramp-reason"] == "router failed"


async def test_the_record_says_who_answered(world: World) -> None:
    world.answers_itself(Answer("Good day."))
    await ask(world)
    call = world.taken[0]
    assert (call.route, call.meta) == ("s1", {"task": "t1", "confidence": 0.98765})
    assert json.loads(call.response)["choices"][0]["message"]["content"] == "Good day."
