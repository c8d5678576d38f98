from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import anthropic
import openai
import pytest_asyncio

from offramp.gateway import Gateway, Limits
from offramp.testing.scripted_teacher import ScriptedTeacher
from offramp.upstream.pool import PooledUpstream
from offramp.upstream.port import Timeouts
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


from tests.flow.gateway.world import Guard, Router, Tap, World


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["front", "asgi"])
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Both ways into the gateway: its own front, and any ASGI server."""
    teacher, claude, router = ScriptedTeacher(), ScriptedTeacher(), Router()
    tapped, guard = Tap(), Guard()
    async with contextlib.AsyncExitStack() as stack:
        upstreams = []
        for behind in (teacher, claude):
            server = await stack.enter_async_context(Server(behind, grace_s=1))
            upstreams.append(PooledUpstream(server.address.url, timeouts=Timeouts(connect=30, silence=30)))
            stack.push_async_callback(upstreams[-1].aclose)
        gateway = Gateway(
            upstreams[0],
            anthropic=upstreams[1],
            router=router,
            tap=tapped.take,
            guard=guard,
            status=lambda: {"live": ["s1"]},
            limits=Limits(body_bytes=8 << 20, audit_pauses_s=(0.01, 0.01)),
        )
        stack.push_async_callback(gateway.aclose)
        app = gateway if request.param == "front" else gateway.__call__
        front = await stack.enter_async_context(Server(app, grace_s=1))
        client = openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="sk-1", max_retries=0)
        await stack.enter_async_context(client)
        other = anthropic.AsyncAnthropic(base_url=front.address.url, api_key="sk-2", max_retries=0)
        await stack.enter_async_context(other)
        yield World(tapped, client, other, gateway, teacher, claude, router, guard, front.address.url)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World) -> World:
    shared.forget()
    return shared
