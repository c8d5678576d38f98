"""The gateway with a real recorder and a real worker behind it, asked by the official client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
import pytest_asyncio

from offramp.app import App, build
from offramp.app.serving import Backstage, command_of
from offramp.app.specialists import LiveSpecialists
from offramp.app.watch import AUDIT
from offramp.config import CertifySettings, GatewaySettings, RecordSettings, Settings
from offramp.core.call import OutputType, answer_of
from offramp.core.deployment import Deployment
from offramp.core.errors import EngineError, WrongKey
from offramp.core.measure import Measure, Measures
from offramp.engine.worker import Question
from offramp.gateway.app import Gateway
from offramp.loop import state
from offramp.loop.ladder import Workshop
from offramp.loop.night import Goal
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.storage.crypto import load_key
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.scripted_teacher import ScriptedTeacher, says, whole
from offramp.testing.traffic import Agent, calls_of
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from offramp.core.json import JsonObject

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKER = Path(__file__).with_name("hash_worker.py")
SESSIONS = 300
PATIENCE_S = 60.0


def child(app: App, name: str) -> list[str]:
    if name == "worker":
        return [sys.executable, str(WORKER), str(app.settings.home)]
    return command_of(app, name)


def broken_worker(app: App, name: str) -> list[str]:
    return ["false"] if name == "worker" else command_of(app, name)


def convert(app: App) -> None:
    agent = Agent()
    app.store.append(calls_of([agent.route() for _ in range(SESSIONS)]))
    stages = Stages()
    workshop = Workshop(
        app.settings.specialists_path,
        HashEmbedder(),
        lambda: RuleEngine(lambda _: ("", 0.0)),
        FakeTraining(),
        "nano",
    )
    (conversion,) = run_night(
        app.store,
        find_tasks(app.store, stages, lambda _: None),
        workshop,
        Goal(0.1, 0.2),
        stages,
        lambda _: None,
    )
    assert conversion.certified


@dataclass
class World:
    """Client, gateway, what is behind it, and requests that the specialist is sure of."""

    app: App
    backstage: Backstage
    teacher: ScriptedTeacher
    client: openai.AsyncOpenAI
    sure: list[tuple[JsonObject, str]]

    async def ask(self, request: JsonObject, **fields: Any) -> Any:
        return await self.client.chat.completions.with_raw_response.create(**{**request, **fields})

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.02)

    async def go_live(self) -> Deployment:
        (deployment,) = state.promote(self.app.store)
        await self.until(lambda: self.backstage.router.live == (deployment.specialist,))
        return deployment

    async def take_out(self) -> None:
        for deployment in state.deployments(self.app.store):
            state.roll_back(self.app.store, deployment.specialist)
        await self.until(lambda: self.backstage.router.idle)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = build(Settings(home=tmp_path_factory.mktemp("home")))
    convert(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sure(app: App) -> list[tuple[JsonObject, str]]:
    """Requests with the answers that the specialist gives at the certified threshold."""
    app.embedder = HashEmbedder()
    (conversion,) = app.store.documents(state.CONVERSION).values()
    deployment = state.deployment_of(conversion)
    (task,) = deployment.tasks
    live = LiveSpecialists(app, [deployment.specialist])
    calls = list(app.store.calls())
    proposals = live.propose([Question(deployment.specialist, task, call.request) for call in calls])
    return [
        (call.request, proposal.answer.text)
        for call, proposal in zip(calls, proposals, strict=True)
        if proposal.answer is not None and proposal.confidence >= deployment.threshold
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(app: App, sure: list[tuple[JsonObject, str]]) -> AsyncIterator[World]:
    teacher = ScriptedTeacher()
    async with contextlib.AsyncExitStack() as stack:
        behind = await stack.enter_async_context(Server(teacher, grace_s=1))
        app.settings = replace(
            app.settings,
            gateway=GatewaySettings(upstream=behind.address.url),
            certify=CertifySettings(audit_rate=1.0),
        )
        backstage = await stack.enter_async_context(Backstage(app, command=child, poll_s=0.02))
        gateway = Gateway(
            backstage.upstream,
            router=backstage.router,
            tap=backstage.tap.put,
            status=backstage.status,
        )
        stack.push_async_callback(gateway.aclose)
        front = await stack.enter_async_context(Server(gateway, grace_s=1))
        client = openai.AsyncOpenAI(base_url=front.address.url + "/v1", api_key="sk-1", max_retries=0)
        await stack.enter_async_context(client)
        yield World(app, backstage, teacher, client, sure)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: World) -> AsyncIterator[World]:
    shared.teacher.heard.clear()
    shared.teacher.otherwise = whole(says("the teacher's word"))
    yield shared
    await shared.take_out()
    for specialist in shared.app.store.documents(AUDIT):
        shared.app.store.delete(AUDIT, specialist)


async def test_while_nothing_is_live_the_teacher_answers(world: World) -> None:
    request, _ = world.sure[0]
    raw = await world.ask(request)
    assert raw.headers["x-offramp-route"] == "teacher"
    assert raw.parse().choices[0].message.content == "the teacher's word"


async def test_a_promoted_specialist_answers_and_says_so(world: World) -> None:
    deployment = await world.go_live()
    request, answer = world.sure[1]
    raw = await world.ask(request)
    assert raw.parse().choices[0].message.content == answer
    assert raw.headers["x-offramp-route"] == deployment.specialist
    assert (raw.headers["x-offramp-task"],) == deployment.tasks
    assert float(raw.headers["x-offramp-confidence"]) >= deployment.threshold - 0.001


async def test_a_specialist_streams_where_a_stream_is_asked_for(world: World) -> None:
    await world.go_live()
    request, answer = world.sure[2]
    stream = await world.client.chat.completions.create(**request, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == answer


async def test_another_prompt_is_no_task_and_goes_to_the_teacher(world: World) -> None:
    await world.go_live()
    raw = await world.ask({"model": "gpt-4o", "messages": [{"role": "user", "content": "good morning"}]})
    assert raw.headers["x-offramp-reason"] == "no task"
    assert raw.parse().choices[0].message.content == "the teacher's word"


async def test_an_audit_asks_the_teacher_and_is_written_down(world: World) -> None:
    deployment = await world.go_live()
    request, answer = world.sure[3]
    world.teacher.otherwise = whole(says(answer))
    before = world.app.store.count()
    await world.ask(request)
    await world.until(lambda: world.app.store.get(AUDIT, deployment.specialist) is not None)
    (live,) = world.backstage.status()["live"]
    assert (live["audited"], live["disagreements"]) == (1, 0)
    assert live["risk_low"] == 0.0
    await world.until(lambda: world.app.store.count() >= before + 2)
    ours, theirs = list(world.app.store.calls())[-2:]
    assert {ours.route, theirs.route} == {deployment.specialist, "teacher"}
    found = answer_of(ours.response)
    assert found is not None
    assert found.text == answer
    assert ours.request["messages"][0] == request["messages"][0]


async def test_audits_that_disagree_take_the_specialist_out(world: World) -> None:
    deployment = await world.go_live()
    for request, _ in world.sure:
        raw = await world.ask(request)
        if raw.headers["x-offramp-route"] == "teacher":
            break
    await world.until(lambda: world.backstage.router.idle)
    assert "audits show a risk above 0.1" in world.backstage.status()["rolled_back"][deployment.specialist]
    assert state.deployments(world.app.store) == []


async def test_what_was_rolled_back_may_go_live_again_before_the_next_look(world: World) -> None:
    deployment = await world.go_live()
    router = world.backstage.router
    router._roll_back(router._live[deployment.tasks[0]], "for this test")
    assert router.idle
    await world.go_live()


async def test_what_was_certified_in_another_sense_than_the_settings_now_is_taken_out(world: World) -> None:
    kept = world.app.settings
    world.app.settings = replace(kept, measures=Measures(forms={OutputType.LABEL: Measure.TEXT}))
    (deployment,) = state.promote(world.app.store)
    certified = f"certified for agreement ({Measure.LABEL.wording}"
    await world.until(
        lambda: certified in world.backstage.status()["rolled_back"].get(deployment.specialist, "")
    )
    world.app.settings = kept
    assert world.backstage.router.idle
    assert state.deployments(world.app.store) == []


async def test_a_rollback_in_the_store_takes_effect(world: World) -> None:
    deployment = await world.go_live()
    state.roll_back(world.app.store, deployment.tasks[0])
    await world.until(lambda: world.backstage.router.idle)
    raw = await world.ask(world.sure[4][0])
    assert raw.headers["x-offramp-route"] == "teacher"


async def test_without_its_worker_the_teacher_answers_until_a_new_one_is_ready(world: World) -> None:
    deployment = await world.go_live()
    process = world.backstage._worker._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    raw = await world.ask(world.sure[5][0])
    assert raw.headers["x-offramp-route"] == "teacher"
    assert raw.parse().choices[0].message.content == "the teacher's word"
    await world.until(lambda: world.backstage._worker._process is not process)
    await world.until(lambda: world.backstage.router.live == (deployment.specialist,))
    raw = await world.ask(world.sure[5][0])
    assert raw.headers["x-offramp-route"] == deployment.specialist


async def test_a_question_for_a_specialist_that_is_not_open_is_refused(app: App) -> None:
    live = LiveSpecialists(app, [])
    with pytest.raises(EngineError, match="not open"):
        live.propose([Question("classifier-0", "t", {})])


async def test_a_specialist_without_confidence_is_not_opened(app: App) -> None:
    with pytest.raises(EngineError, match="No confidence was fitted for classifier-0"):
        LiveSpecialists(app, ["classifier-0"])


def quiet(home: Path) -> App:
    return build(Settings(home=home, record=RecordSettings(enabled=False)))


async def test_a_worker_that_does_not_start_holds_up_neither_traffic_nor_rollbacks(tmp_path: Path) -> None:
    app = quiet(tmp_path)
    deployment = Deployment("classifier-gone", ("t",), 0.9, 0.1, 0.1)
    app.store.put(state.DEPLOYMENT, deployment.specialist, deployment.to_dict())
    async with Backstage(app, command=broken_worker, poll_s=0.01) as backstage:
        assert backstage.router.idle
        assert (await backstage.router.route({"messages": []})).route == "teacher"
    app.close()


async def test_a_wrong_key_fails_closed(tmp_path: Path) -> None:
    app = build(Settings(home=tmp_path))
    app.store.put("run", "x", {})
    app.close()
    (tmp_path / "master.key").unlink()
    other = tmp_path / "other" / "master.key"
    load_key(other, create=True)
    other.rename(tmp_path / "master.key")
    with pytest.raises(WrongKey):
        async with Backstage(build(Settings(home=tmp_path)), poll_s=0.01):
            pytest.fail("it must not serve")
