"""Calls of every dialect, and of another model than was asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.gateway.core import AUDITED, REQUEST, SPECIALIST, World

from offramp.core.call import Answer, Dialect, answer_of
from offramp.core.decision import Routing
from offramp.dialect import form_of
from offramp.gateway.counters import Metric
from offramp.testing.scripted_teacher import says, whole

if TYPE_CHECKING:
    from offramp.core.json import JsonObject


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_a_call_is_recorded_with_its_dialect(dialect: Dialect) -> None:
    world = World(dialect=dialect)
    await world.ask()
    assert world.taken[0].dialect is dialect
    assert world.counters.value(Metric.CALLS, "teacher", dialect) == 1


_SAME: dict[Dialect, JsonObject] = {
    Dialect.CHAT: REQUEST,
    Dialect.RESPONSES: {"model": "m", "input": "hello", "store": False},
    Dialect.MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]},
}


@pytest.mark.parametrize("dialect", _SAME)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_specialist_answers_in_the_dialect_it_was_asked_in(dialect: Dialect, stream: bool) -> None:
    world = World(dialect=dialect)
    world.router.routing = SPECIALIST
    reply = await world.ask(json.dumps({**_SAME[dialect], "stream": stream}).encode())
    assert world.router.asked[0]["messages"][-1] == {"role": "user", "content": "hello"}
    form, sent = form_of(dialect), b"".join(reply.pieces)
    body = form.fold(sent).body if stream else json.loads(sent)
    assert answer_of(form.chat_response(body)) == Answer("Good day.")


@pytest.mark.parametrize("dialect", _SAME)
async def test_an_audit_compares_what_the_dialects_teacher_said(dialect: Dialect) -> None:
    world = World(dialect=dialect)
    world.router.routing = AUDITED
    chat = says("Good evening.")
    _, body = form_of(dialect).render(chat, _SAME[dialect])
    world.teacher.then(whole(json.loads(body)))
    await world.ask_and_audit(json.dumps(_SAME[dialect]).encode())
    _, request, teacher = world.router.audits[0]
    assert request["messages"][-1]["content"] == "hello"
    assert answer_of(teacher) == Answer("Good evening.")


async def test_a_route_may_name_another_model_and_changes_nothing_else(world: World) -> None:
    world.router.routing = Routing(reason="alias", model="small")
    body = b'{ "model" : "m", "x": {"model": "m"}, "n": 1.0 }'
    reply = await world.ask(body)
    assert world.teacher.heard[0].body == b'{ "model" : "small", "x": {"model": "m"}, "n": 1.0 }'
    assert (reply.field("x-offramp-model"), world.taken[0].meta["model"]) == ("small", "small")
    assert world.taken[0].request == body
