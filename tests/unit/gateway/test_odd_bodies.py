"""Whatever JSON, or none, a call holds: it is answered and recorded as what its path says, never failed."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.gateway.core import AUDITED, KEY, SPECIALIST, World

from offramp.core.call import Answer, Dialect, ToolCall
from offramp.core.decision import Routing
from offramp.record.parse import Parser
from offramp.testing.scripted_teacher import Scripted, says, whole

if TYPE_CHECKING:
    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.record.exchange import Exchange

_WORDS = re.findall(
    r"\S+",
    "role content type text messages tools tool_calls function name arguments input instructions prompt "
    "stream stream_options include_usage system thinking tool_choice response_format n functions "
    "function_call output call_id id tool_use_id source image_url url input_schema json_schema schema "
    "format parameters metadata store include usage choices delta index finish_reason error item "
    "response output_index content_block stop_reason model user data embedding partial_json ",
)
_SAID = [
    "",
    "user",
    "assistant",
    "tool",
    "text",
    "tool_use",
    "tool_result",
    "message",
    "function_call",
    "stop",
]
_SAID += [
    "function_call_output",
    "reasoning",
    "json_schema",
    "custom",
    "content_block_delta",
    "message_start",
]
_SAID += [
    "response.completed",
    "response.output_text.delta",
    "text_delta",
    "input_json_delta",
    "\ud800",
    "\0",
]
_NUMBERS = st.one_of(st.integers(-2, 3), st.just(10**30), st.floats(allow_nan=False, allow_infinity=False))
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, st.sampled_from(_SAID)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS), inner, max_size=5)
    ),
    max_leaves=25,
)
_OBJECTS = st.dictionaries(st.sampled_from(_WORDS), _VALUES, max_size=8)
_BODIES = st.one_of(
    _OBJECTS.map(lambda value: json.dumps(value).encode()),
    _VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
)
_EVENTS = st.one_of(
    _OBJECTS.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    st.sampled_from([b"data: [DONE]\n\n", b"event: message_stop\ndata: {}\n\n", b":\n\n", b"data:\r\n\r\n"]),
    st.binary(max_size=30),
)
_TOOLS = Routing(
    task="t1", route="s1", confidence=0.9, answer=Answer(tool_calls=(ToolCall("book", {"x": 1}),))
)
_ROUTINGS = st.sampled_from([Routing(), Routing(model="small"), SPECIALIST, AUDITED, _TOOLS])
_ODD = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _parsed(exchange: Exchange) -> Call:
    def same(value: JsonObject) -> Any:
        return SimpleNamespace(value=value, counts={})

    return Parser(same, KEY).parse(exchange)


async def _asked(dialect: Dialect, routing: Routing, body: bytes, answer: Scripted) -> World:
    world = World(dialect=dialect)
    world.router.routing = routing
    world.teacher.then(answer, answer)
    reply = await world.ask_and_audit(body)
    assert (reply.status, reply.complete) == (200, True)
    return world


@_ODD
@given(bodies=st.lists(_BODIES, min_size=5, max_size=5), routing=_ROUTINGS)
def test_any_body_is_answered_and_recorded_under_its_own_dialect(
    bodies: list[bytes], routing: Routing
) -> None:
    async def run() -> None:
        for dialect, body in zip(Dialect, bodies, strict=True):
            world = await _asked(dialect, routing, body, whole(says("ok")))
            assert {exchange.dialect for exchange in world.taken} == {dialect}
            assert world.taken[0].request == body
            assert {_parsed(exchange).dialect for exchange in world.taken} == {dialect}

    asyncio.run(run())


@_ODD
@given(pieces=st.lists(_EVENTS, max_size=8), dialect=st.sampled_from(Dialect))
def test_any_stream_passes_as_it_is_and_is_recorded_under_its_dialect(
    pieces: list[bytes], dialect: Dialect
) -> None:
    async def run() -> None:
        stream = Scripted(pieces, headers=[(b"content-type", b"text/event-stream")])
        world = await _asked(dialect, Routing(), b'{"stream":true}', stream)
        assert b"".join(world.replies[0].pieces) == b"".join(pieces)
        (exchange,) = world.taken
        assert _parsed(exchange).dialect is dialect
        # What claims to be JSON and holds a stream, too.
        assert _parsed(replace(exchange, content_type="application/json")).dialect is dialect

    asyncio.run(run())


@pytest.mark.parametrize("field", ["messages", "input", "prompt", "tools", "metadata", "stop", "tool_choice"])
@pytest.mark.parametrize("dialect", Dialect)
async def test_what_is_nested_deeper_than_can_be_walked_is_the_teachers(dialect: Dialect, field: str) -> None:
    deep = b"[" * 1010 + b"]" * 1010
    body = b'{"model":"m","store":false,"stream":true,"' + field.encode() + b'":' + deep + b"}"
    world = await _asked(dialect, AUDITED, body, whole(says("ok")))
    assert world.router.asked == []
    assert _parsed(world.taken[0]).dialect is dialect
