"""Who may do what, and what is not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic
import openai
import pytest
from tests.flow.gateway.world import CLAUDE, ask, get, post, raw

from offramp.core.admission import Admission, Refusal

if TYPE_CHECKING:
    from tests.flow.gateway.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_guard_is_asked_with_method_and_path(world: World) -> None:
    await post(world, b"{}")
    await get(world, "/v1/models?x=1")
    await get(world, "/offramp/status")
    await get(world, "/health")
    assert world.guard.asked == [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/offramp/status"),
    ]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refusal(401, "Who are you?"), "AuthenticationError"),
        (Refusal(403, "Not you."), "PermissionDeniedError"),
        (Refusal(429, "Not so often.", 7), "RateLimitError"),
    ],
)
async def test_a_refusal_is_each_clients_own_exception(world: World, refusal: Refusal, error: str) -> None:
    world.guard.says = refusal
    with pytest.raises(getattr(openai, error), match=refusal.message.rstrip(".?")):
        await ask(world)
    with pytest.raises(getattr(anthropic, error), match=refusal.message.rstrip(".?")) as caught:
        await world.claude_client.messages.create(**CLAUDE)
    assert caught.value.response.headers.get("retry-after") == ("7" if refusal.retry_after else None)
    assert (world.teacher.heard, world.claude.heard, world.taken) == ([], [], [])


async def test_what_the_guard_drops_does_not_reach_the_teacher(world: World) -> None:
    world.guard.says = Admission(who="who-7", trainable=False, drop=(b"authorization", b"x-offramp-key"))
    await post(world, b"{}", **{"Authorization": "Bearer ofk_secret", "X-Other": "1"})
    heard = world.teacher.heard[0]
    assert (heard.header("authorization"), heard.header("x-other")) == (None, "1")
    assert (world.taken[0].who, world.taken[0].trainable) == ("who-7", False)


@pytest.mark.parametrize("says", [Admission(record=False), Admission()], ids=["key", "call"])
async def test_a_call_may_stay_unrecorded(world: World, says: Admission) -> None:
    world.guard.says = says
    fields = {} if not says.record else {"X-Offramp-Record": "No", "Accept-Encoding": "br"}
    status, _, headers = await post(world, b"{}", **fields)
    assert (status, world.taken) == (200, [])
    assert headers["x-offramp-id"]
    assert world.teacher.heard[0].header("x-offramp-record") is None
    # Nobody has to read it, so the client's own wish for compression holds.
    assert not fields or world.teacher.heard[0].header("accept-encoding") == "br"


async def test_a_key_for_some_models_gets_no_other(world: World) -> None:
    world.guard.says = Admission(models=("small",))
    assert (await post(world, b'{"model":"small"}'))[0] == 200
    hidden = ['{"model":"small"}'.encode(coding) for coding in ("utf-8-sig", "utf-16")]
    for body in (b'{"model":"large"}', b"{}", b"not json", b'{"model":"small","model":"large"}', *hidden):
        assert (await post(world, body))[0] == 403
    assert len(world.teacher.heard) == 1


async def test_of_two_models_the_teacher_sees_the_one_that_was_allowed(world: World) -> None:
    world.guard.says = Admission(models=("small",))
    assert (await post(world, b'{"model":"large", "model":"small"}'))[0] == 200
    assert world.teacher.heard[0].body == b'{"model":"small", "model":"small"}'


@pytest.mark.parametrize("target", ["/v1/../admin", "/v1/%2e%2E/admin", "/v1/files/..%2f..%2fadmin"])
async def test_a_path_that_leaves_the_teachers_api_is_refused(world: World, target: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert (await raw(world, request))[0] == 400
    assert world.teacher.heard == []
