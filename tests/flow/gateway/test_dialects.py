"""Every dialect to its teacher and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import anthropic
import pytest
from tests.flow.gateway.world import CLAUDE
from yarl import URL

from offramp.core.call import Answer, Dialect
from offramp.testing.scripted_teacher import Scripted, whole

if TYPE_CHECKING:
    from tests.flow.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PATHS = {
    "/v1/chat/completions": Dialect.CHAT,
    "/v1/responses": Dialect.RESPONSES,
    "/v1/embeddings": Dialect.EMBEDDINGS,
    "/v1/completions": Dialect.COMPLETIONS,
    "/v1/messages": Dialect.MESSAGES,
}


@pytest.mark.parametrize("path", [*_PATHS, "/v1/messages?beta=true", "/v1/%63hat/completions"])
async def test_every_dialect_is_passed_on_to_its_teacher_and_recorded(world: World, path: str) -> None:
    teacher = world.claude if path.startswith("/v1/messages") else world.teacher
    answer = b'{ "odd" : 1.0 }'
    teacher.then(Scripted([answer]))
    async with aiohttp.ClientSession() as session:
        url = URL(world.url + path, encoded=True)
        async with session.post(url, data=b'{ "model":"m" }') as response:
            received = await response.read()
    assert (teacher.heard[0].target, teacher.heard[0].body) == (path, b'{ "model":"m" }')
    (taken,) = world.taken
    assert (received, taken.response, taken.request) == (answer, answer, b'{ "model":"m" }')
    assert taken.dialect == _PATHS[path.partition("?")[0].replace("%63", "c")]
    assert response.headers["x-offramp-id"] == taken.id


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        ("/v1/messages/count_tokens", {}),
        ("/v1/messages/batches/b1", {}),
        ("/v1/models", {"anthropic-version": "2023-06-01"}),
    ],
)
async def test_what_is_anthropics_goes_there_unrecorded(
    world: World, target: str, fields: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(world.url + target, headers=fields) as response,
    ):
        assert response.status == 200
    assert ([heard.target for heard in world.claude.heard], world.teacher.heard) == ([target], [])
    assert world.taken == []


async def test_anthropics_client_is_answered_by_its_teacher(world: World) -> None:
    said = {"type": "text", "text": "Good day."}
    world.claude.then(whole({"id": "m", "type": "message", "role": "assistant", "content": [said]}))
    message: Any = await world.claude_client.messages.create(**CLAUDE)
    assert message.content[0].text == "Good day."
    assert "sk-2" in repr(world.claude.heard[0].headers)


async def test_anthropics_client_is_answered_by_a_specialist(world: World) -> None:
    world.answers_itself(Answer("Good day."))
    message: Any = await world.claude_client.messages.create(**CLAUDE)
    assert (message.content[0].text, message.model, message.stop_reason) == (
        "Good day.",
        "claude",
        "end_turn",
    )
    async with world.claude_client.messages.stream(**CLAUDE) as stream:
        assert await stream.get_final_text() == "Good day."
    assert world.claude.heard == []
    assert [taken.dialect for taken in world.taken] == [Dialect.MESSAGES] * 2


async def test_the_responses_client_is_answered_by_a_specialist(world: World) -> None:
    world.answers_itself(Answer("Good day."))
    response = await world.client.responses.create(model="m", input="hello", store=False)
    assert response.output_text == "Good day."


async def test_anthropics_client_understands_the_gateways_errors(world: World) -> None:
    world.claude.then(Scripted(breaks_off=True))
    with pytest.raises(anthropic.InternalServerError, match="broke off") as caught:
        await world.claude_client.messages.create(**CLAUDE)
    assert caught.value.status_code == 502
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "api_error")
