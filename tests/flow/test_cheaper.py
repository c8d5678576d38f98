"""A cheaper model at the same provider, over real HTTP: converted, certified, promoted, asked."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from offramp.app import build
from offramp.app.decisions import decisions
from offramp.app.money import make_plan
from offramp.app.specialists import LiveSpecialists
from offramp.config import Settings
from offramp.core.call import answer_of
from offramp.engine.worker import Question
from offramp.loop import state
from offramp.loop.night import Goal
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.testing.scripted_teacher import says
from offramp.testing.traffic import Agent, calls_of
from offramp.upstream.asgi import read_body, send_json
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.upstream.asgi import Receive, Scope, Send

CHEAPER = "gpt-4o-mini"


class Provider:
    """Serves a cheaper model in a thread: right, unless it is unsure, which its log-probabilities tell.

    Args:
        calls: Recorded calls; the teacher's answers are the right ones.
    """

    def __init__(self, calls: list[Call]) -> None:
        answers = [answer_of(call.response) for call in calls]
        self._known = {
            orjson.dumps(call.request["messages"]): answer.text
            for call, answer in zip(calls, answers, strict=True)
            if answer is not None
        }
        self.asked: list[JsonObject] = []
        self.keys: set[str] = set()
        self.url = ""
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, at_most=1 << 20)
        assert body is not None
        request = orjson.loads(body)
        self.asked.append(request)
        self.keys.add(dict(scope["headers"]).get(b"authorization", b"").decode())
        right = self._known[orjson.dumps(request["messages"])]
        unsure = len(right) % 4 == 0
        said = "no idea" if unsure else right
        completion = says(said)
        if request.get("logprobs"):
            token = {"token": said, "logprob": -2.0 if unsure else -0.01}
            completion["choices"][0]["logprobs"] = {"content": [token]}
        await send_json(send, 200, completion)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with Server(self) as server:
            self.url = server.address.url
            self._ready.set()
            await self._stop.wait()


@pytest.fixture
def provider() -> Iterator[Provider]:
    agent = Agent()
    made = Provider(calls_of([agent.route() for _ in range(400)]))
    made.start()
    yield made
    made.stop()


def test_a_cheaper_model_is_certified_for_what_it_is_sure_of(provider: Provider, tmp_path: Path) -> None:
    agent = Agent()
    calls = calls_of([agent.route() for _ in range(400)])
    settings = Settings(home=tmp_path / "home")
    settings = replace(
        settings,
        gateway=replace(settings.gateway, upstream=provider.url, upstream_key="sk-ours"),
        train=replace(settings.train, cheaper=CHEAPER, kinds="cheaper"),
    )
    app = build(settings)
    app.store.append(calls)
    found = find_tasks(app.store, Stages(), lambda _: None)
    run_night(app.store, found, app.workshop(lambda _: None), Goal(0.1, 0.4), Stages(), lambda _: None)
    (decision,) = decisions(app.store)
    (tried,) = decision.considered
    assert (decision.chosen, tried.kind) == ("cheaper", "cheaper")
    assert 0.3 < tried.coverage < 1.0
    # 60 prompt and 8 completion tokens at 0.15 and 0.60 USD per million, asked twice.
    assert tried.usd_per_1000 == pytest.approx(2 * 1000 * (60 * 0.15 + 8 * 0.6) / 1e6, rel=0.5)
    assert {request["model"] for request in provider.asked} == {CHEAPER}
    assert provider.keys == {"Bearer sk-ours"}
    (deployment,) = state.promote(app.store)
    planned = make_plan(app.store, settings)
    assert planned is not None
    assert (planned.replicas, planned.costs.device) == (0, 0.0)
    # Every call is asked about, the deferred ones too.
    assert planned.costs.billed == pytest.approx(tried.usd_per_1000 / 1000 * planned.costs.calls, rel=0.01)
    live = LiveSpecialists(app, [deployment.specialist])
    asked = len(provider.asked)
    (task,) = deployment.tasks
    proposals = live.propose([Question(deployment.specialist, task, call.request) for call in calls[-20:]])
    assert len(provider.asked) == asked + 40
    rights = [answer_of(call.response) for call in calls[-20:]]
    sure = [
        (proposal.answer, right)
        for proposal, right in zip(proposals, rights, strict=True)
        if proposal.confidence >= deployment.threshold
    ]
    assert sure
    assert all(ours == right for ours, right in sure)
    app.close()
