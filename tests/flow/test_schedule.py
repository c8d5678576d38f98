"""Calls that wait for their turn, over real sockets, at a server that holds each until it is let go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import openai
import orjson
import pytest
from tests.flow.gateway.world import Router, eventually
from tests.unit.enforce.hosts import Host, engine, first_of_run, until

from offramp.app import build
from offramp.app.queues import classes_of_keys
from offramp.app.serving import Backstage
from offramp.config import load
from offramp.core.admission import Admission
from offramp.core.call import Answer
from offramp.core.decision import Routing
from offramp.core.placement import (
    Adapter,
    EngineMemory,
    PlacedDevice,
    PlacedEngine,
    Placement,
    Role,
    Slice,
)
from offramp.enforce.options import Options
from offramp.enforce.state import State, Wanted
from offramp.gateway import Gateway
from offramp.gateway.standings import Standings
from offramp.record.exchange import Exchange
from offramp.testing.scripted_teacher import says
from offramp.upstream.asgi import read_body
from offramp.upstream.serving import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.upstream.asgi import Receive, Scope, Send
    from offramp.upstream.port import Headers

HELLO: Any = [{"role": "user", "content": "hello"}]


@dataclass(slots=True)
class HeldTeacher:
    """A server that answers a call when it is let go, and keeps count of what it has at once.

    Attributes:
        heard: Models of the calls, in order of arrival.
        keys: Credentials that came with them.
        under_way: Models of those that are held.
        most: Most calls that were held at once.
        models: Most different models that were held at once.
    """

    heard: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    most: int = 0
    models: int = 0
    _gate: asyncio.Event = field(default_factory=asyncio.Event)
    _let: list[asyncio.Event] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        request: JsonObject = orjson.loads(await read_body(receive, at_most=1 << 20) or b"")
        model = request["model"]
        self.heard.append(model)
        self.keys.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        self.under_way.append(model)
        self.most = max(self.most, len(self.under_way))
        self.models = max(self.models, len(set(self.under_way)))
        try:
            if not self._gate.is_set():
                go = asyncio.Event()
                self._let.append(go)
                await go.wait()
        finally:
            self.under_way.remove(model)
        body = orjson.dumps(says(f"from {model}"))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def let_one_go(self) -> None:
        """Answer the call that has been held longest."""
        self._let.pop(0).set()

    def let_all_go(self) -> None:
        """Answer all that is held and whatever comes."""
        self._gate.set()
        while self._let:
            self.let_one_go()


class Keys:
    """A guard that knows every key by its own name."""

    def admit(self, method: str, path: str, headers: Headers, client: str = "") -> Admission:
        del method, path, client
        return Admission(key=dict(headers).get(b"authorization", b"").decode().removeprefix("Bearer "))

    def refuses(self, admission: Admission, model: str) -> None:
        del admission, model


@dataclass(slots=True)
class Site:
    """A gateway with queues, its teacher and its clients."""

    teacher: HeldTeacher
    backstage: Backstage
    url: str
    client: openai.AsyncOpenAI
    taken: list[Exchange]
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def ask(self, model: str = "gpt-4o", *, key: str = "sk-1", **fields: Any) -> asyncio.Task[Any]:
        """Send a call; it is answered when the teacher lets it go."""
        client = self.client.with_options(api_key=key)
        task: asyncio.Task[Any] = asyncio.create_task(
            client.chat.completions.create(model=model, messages=HELLO, **fields)
        )
        self.tasks.append(task)
        return task

    def of(self, name: str) -> Any:
        """What the queue in front of the LLM says of a class."""
        return self.backstage.status()["schedule"]["llm"]["classes"][name]

    async def waiting(self, name: str, count: int) -> None:
        """Let as many calls of a class wait."""
        await eventually(lambda: self.of(name)["waiting"] == count)


@contextlib.asynccontextmanager
async def site(
    tmp_path: Path, *, poll_s: float = 1.0, router: Router | None = None, **schedule: Any
) -> AsyncIterator[Site]:
    """Serve as ``offramp serve`` does, with the given settings of its queues."""
    teacher, taken = HeldTeacher(), list[Exchange]()
    async with contextlib.AsyncExitStack() as stack:
        behind = await stack.enter_async_context(Server(teacher, grace_s=1))
        overrides = {f"schedule.{name}": value for name, value in schedule.items()}
        settings = load(
            environ={},
            overrides={
                "home": tmp_path,
                "gateway.upstream": behind.address.url,
                "record.enabled": False,
                **overrides,
            },
        )
        app = build(settings)
        stack.callback(app.close)
        backstage = await stack.enter_async_context(Backstage(app, poll_s=poll_s))
        gateway = Gateway(
            backstage.upstream,
            guard=Keys(),
            status=backstage.status,
            router=router,
            tap=taken.append,
            queue=backstage.queue,
            engines=backstage.engines,
            standings=Standings(keys=classes_of_keys(settings.schedule)),
        )
        stack.push_async_callback(gateway.aclose)
        front = await stack.enter_async_context(Server(gateway, grace_s=1))
        client = openai.AsyncOpenAI(
            base_url=front.address.url + "/v1", api_key="sk-1", max_retries=0, timeout=60
        )
        await stack.enter_async_context(client)
        made = Site(teacher, backstage, front.address.url, client, taken)
        try:
            yield made
        finally:
            teacher.let_all_go()
            await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_llm_calls_keep_their_reserve_under_a_flood_of_small_ones(tmp_path: Path) -> None:
    """Four slots, two kept: long small calls take two, and the LLM's go in while forty of them wait."""
    async with site(tmp_path, slots=4, reserve=0.5, small="small") as made:
        small = [made.ask("small") for _ in range(42)]
        await made.waiting("interactive", 40)
        await eventually(lambda: made.teacher.under_way == ["small"] * 2)
        llm = [made.ask("gpt-4o") for _ in range(2)]
        await eventually(lambda: made.teacher.under_way.count("gpt-4o") == 2)
        assert made.of("interactive")["waiting"] == 40
        made.teacher.let_all_go()
        answers = await asyncio.gather(*small, *llm)
        assert {answer.choices[0].message.content for answer in answers} == {"from small", "from gpt-4o"}
        assert made.teacher.most == 4
        assert made.of("llm")["completed"] == 2


async def test_kept_slots_are_lent_to_short_calls_and_come_back(tmp_path: Path) -> None:
    """A call of one token borrows; the LLM's call gets the first slot that is given back."""
    async with site(tmp_path, slots=4, reserve=0.5, small="small") as made:
        for _ in range(10):
            made.ask("small", max_tokens=1)
        await made.waiting("interactive", 6)
        assert made.backstage.status()["schedule"]["llm"]["engines"]["the LLM"]["lent"] == 2
        made.ask("gpt-4o")
        await made.waiting("llm", 1)
        made.teacher.let_one_go()
        await eventually(lambda: "gpt-4o" in made.teacher.under_way)
        assert made.teacher.most == 4


async def test_over_committed_adapters_lose_no_call(tmp_path: Path) -> None:
    """Eight adapters on a server that holds two: all is answered, and never are three in use."""
    names = [f"a{number}" for number in range(8)]
    async with site(tmp_path, slots=6, reserve=0.0, adapters=",".join(names), loaded=2) as made:
        calls = [made.ask(names[number * 5 % 8], max_tokens=1) for number in range(64)]
        while not all(call.done() for call in calls):
            if made.teacher.under_way:
                made.teacher.let_one_go()
            await asyncio.sleep(0.002)
        answers = [call.result().choices[0].message.content for call in calls]
        assert answers == [f"from {names[number * 5 % 8]}" for number in range(64)]
        assert made.teacher.models == 2
        assert made.of("interactive")["dispatched"] == 64


async def test_a_full_queue_is_told_with_a_time_to_come_back(tmp_path: Path) -> None:
    """429 in the client's own error form."""
    async with site(tmp_path, slots=1, queue=1) as made:
        made.ask()
        await eventually(lambda: len(made.teacher.under_way) == 1)
        made.ask()
        await made.waiting("llm", 1)
        with pytest.raises(openai.RateLimitError, match="no more may wait") as told:
            await made.ask()
        assert int(told.value.response.headers["retry-after"]) >= 1
        assert told.value.code == "queue_full"
        assert made.of("llm")["refused"] == {"full": 1, "late": 0, "gone": 0}


async def test_a_call_that_cannot_be_answered_in_time_is_told_so(tmp_path: Path) -> None:
    """A small model's call waits until its deadline is out of reach; the LLM's are answered late instead."""
    async with site(tmp_path, slots=1, small="small") as made:
        made.ask()
        await eventually(lambda: len(made.teacher.under_way) == 1)
        wish = {"x-offramp-deadline-ms": "300"}
        late = made.ask("gpt-4o", max_tokens=1, extra_headers=wish)
        with pytest.raises(openai.InternalServerError, match="before its deadline") as told:
            await made.ask("small", max_tokens=1, extra_headers=wish)
        assert told.value.status_code == 503
        assert int(told.value.response.headers["retry-after"]) >= 1
        made.teacher.let_all_go()
        assert (await late).choices[0].message.content == "from gpt-4o"


async def test_a_client_that_leaves_leaves_the_queue(tmp_path: Path) -> None:
    """Whether it waits or is under way: its slot goes to the next."""
    async with site(tmp_path, slots=1) as made:
        first = made.ask("first")
        await eventually(lambda: made.teacher.under_way == ["first"])
        second = made.ask("second")
        await made.waiting("llm", 1)
        made.ask("third")
        await made.waiting("llm", 2)
        second.cancel()
        await made.waiting("llm", 1)
        first.cancel()
        await eventually(lambda: made.teacher.heard == ["first", "third"])
        assert made.of("llm")["cancelled"] == 2


async def test_keys_and_headers_name_the_class(tmp_path: Path) -> None:
    """A key's class goes before the header; a large model's call is the LLM's or batch, whatever it says."""
    async with site(tmp_path, slots=1, small="small", keys="night=batch") as made:
        made.ask("first")
        await eventually(lambda: made.teacher.under_way == ["first"])
        tool = {"x-offramp-class": "tool"}
        made.ask("small", key="night", extra_headers=tool)
        made.ask("small", extra_headers=tool)
        made.ask("gpt-4o", extra_headers={"x-offramp-class": "interactive"})
        made.ask("gpt-4o", extra_headers={"x-offramp-class": "batch"})
        made.ask("small", tools=[{"type": "function", "function": {"name": "f"}}])
        made.ask("small")
        await made.waiting("batch", 2)
        await made.waiting("tool", 2)
        await made.waiting("llm", 1)
        await made.waiting("interactive", 1)


def want(
    tmp_path: Path, ports: dict[str, int], *, adapters: tuple[str, ...], role: Role = Role.SMALL
) -> None:
    """Write down engines of one base as ``offramp enforce apply`` does."""
    engines = tuple(
        PlacedEngine(
            name=name,
            base="qwen",
            role=role,
            slices=(Slice(0, 0.5),),
            memory=EngineMemory(1, 1, 1, 1),
            slots=2,
            context=4096,
            adapters=tuple(Adapter(one, 8) for one in adapters),
            loaded=len(adapters),
        )
        for name in ports
    )
    placement = Placement((PlacedDevice("gpu"),), engines)
    State(tmp_path / "enforce").want(Wanted(placement, "plain", Options(ports=tuple(ports.items()))))


async def test_local_engines_answer_for_the_models_that_they_serve(tmp_path: Path) -> None:
    """Two engines of one base share its calls and know it by their own names; the rest is the LLM's."""
    one, two = HeldTeacher(), HeldTeacher()
    async with Server(one, grace_s=1) as first, Server(two, grace_s=1) as second:
        want(tmp_path, {"qwen.0": first.address.port, "qwen.1": second.address.port}, adapters=("triage",))
        async with site(tmp_path, engines=True) as made:
            small = [made.ask("qwen", key="sk-secret") for _ in range(2)] + [
                made.ask("triage") for _ in range(3)
            ]
            large = made.ask("gpt-4o")
            await eventually(lambda: len(one.under_way) == len(two.under_way) == 2)
            await eventually(lambda: made.teacher.under_way == ["gpt-4o"])
            classes = made.backstage.status()["schedule"]["engines"]["classes"]
            assert classes["interactive"]["waiting"] == 1
            for held in (one, two, made.teacher):
                held.let_all_go()
            said = [answer.choices[0].message.content for answer in await asyncio.gather(*small)]
            assert sorted(said) == ["from qwen.0", "from qwen.1", *["from triage"] * 3]
            assert (await large).choices[0].message.content == "from gpt-4o"
            raw = await made.client.chat.completions.with_raw_response.create(model="qwen.1", messages=HELLO)
            assert raw.headers["x-offramp-engine"] == "qwen.1"
            assert [call.trainable for call in made.taken].count(False) == len(made.taken) - 1
            assert not any("sk-" in key for key in (*one.keys, *two.keys))


async def test_audits_ask_the_llm_where_it_is(tmp_path: Path) -> None:
    """An LLM on an engine of this machine is the teacher of its own calls, and nobody waits for an audit."""
    llm = HeldTeacher()
    llm.let_all_go()
    said = Routing(task="t", route="s", confidence=0.9, answer=Answer("on"), audit=True)
    router = Router(idle=False, routing=said)
    async with Server(llm, grace_s=1) as first:
        want(tmp_path, {"qwen.0": first.address.port}, adapters=(), role=Role.LLM)
        async with site(tmp_path, engines=True, router=router) as made:
            assert (await made.ask("qwen")).choices[0].message.content == "on"
            await eventually(lambda: len(router.audits) == 1)
            assert (llm.heard, made.teacher.heard) == (["qwen.0"], [])
            assert made.backstage.status()["schedule"]["engines"]["classes"]["batch"]["completed"] == 1


async def test_an_engine_that_is_gone_loses_its_calls_to_the_other(tmp_path: Path) -> None:
    """It gets none for a while; where every one is gone the client is told."""
    one = HeldTeacher()
    one.let_all_go()
    async with Server(one, grace_s=1) as first:
        nobody = first_of_run(1)
        want(tmp_path, {"qwen.0": nobody, "qwen.1": first.address.port}, adapters=())
        async with site(tmp_path, engines=True) as made:
            for _ in range(6):
                assert (await made.ask("qwen")).choices[0].message.content == "from qwen.1"
            engines = made.backstage.status()["schedule"]["engines"]["engines"]
            assert engines["qwen.0"]["losses"] >= 1
            assert engines["qwen.1"]["in_use"] == 0


async def test_engines_are_read_again_when_they_change(tmp_path: Path) -> None:
    """An adapter that a night trained is asked for without a restart."""
    one = HeldTeacher()
    one.let_all_go()
    async with Server(one, grace_s=1) as first, site(tmp_path, engines=True, poll_s=0.01) as made:
        made.teacher.let_all_go()
        assert (await made.ask("fresh")).choices[0].message.content == "from fresh"
        assert one.heard == []
        want(tmp_path, {"qwen.0": first.address.port}, adapters=("fresh",))
        await eventually(lambda: made.backstage.status()["schedule"]["engines"]["engines"] != {})
        await made.ask("fresh")
        assert one.heard == ["fresh"]


async def test_queues_are_in_the_metrics(tmp_path: Path) -> None:
    """Who waits, how long it took, what was refused and lent, by class."""
    async with site(tmp_path, slots=1, queue=1, small="small") as made:
        made.ask("small")
        await eventually(lambda: len(made.teacher.under_way) == 1)
        made.ask("small")
        await made.waiting("interactive", 1)
        with pytest.raises(openai.RateLimitError):
            await made.ask("small")
        made.teacher.let_all_go()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        async with openai.AsyncOpenAI(base_url=made.url, api_key="sk-1") as plain:
            text = await plain.get("/metrics", cast_to=str)
        labels = 'queue="llm",class="interactive"'
        for line in (
            'offramp_schedule_slots{queue="llm",engine="the LLM"} 1',
            f"offramp_schedule_dispatched_total{{{labels}}} 2",
            f'offramp_schedule_refused_total{{{labels},reason="full"}} 1',
            f"offramp_schedule_wait_seconds_count{{{labels}}} 2",
            f"offramp_schedule_waiting{{{labels}}} 0",
        ):
            assert line in text
        assert len(set(re.findall(r"^# TYPE (offramp_schedule_\w+)", text, re.MULTILINE))) == 13


async def test_serve_and_status_take_the_settings(tmp_path: Path) -> None:
    """The whole process, its settings from the environment."""
    held = HeldTeacher()
    held.let_all_go()
    environ = {**os.environ, "OFFRAMP_SCHEDULE_SLOTS": "10", "OFFRAMP_SCHEDULE_WORKER_SLOTS": "2"}
    home = ("--home", str(tmp_path))
    async with Server(held, grace_s=1) as behind:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "offramp", *home, "serve", "--upstream", behind.address.url, "--port", "0", "--json"),
            stdout=asyncio.subprocess.PIPE,
            env=environ,
        )
        assert process.stdout is not None
        try:
            url = json.loads(await asyncio.wait_for(process.stdout.readline(), 120))["url"]
            async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="sk-1", max_retries=0) as client:
                await client.chat.completions.create(model="gpt-4o", messages=HELLO)
            async with openai.AsyncOpenAI(base_url=url, api_key="sk-1") as plain:
                status: Any = await plain.get("/offramp/status", cast_to=dict[str, Any])
        finally:
            process.terminate()
            await process.wait()
    llm = status["schedule"]["llm"]
    assert llm["engines"]["the LLM"]["slots"] == 10
    assert (llm["classes"]["llm"]["completed"], llm["classes"]["llm"]["kept"]) == (1, 2)
    assert status["schedule"]["worker"]["engines"]["the worker"]["slots"] == 2


def test_status_says_what_is_scheduled(tmp_path: Path) -> None:
    """In a line, and whole as JSON."""
    environ = {**os.environ, "OFFRAMP_SCHEDULE_SLOTS": "10", "OFFRAMP_SCHEDULE_RESERVE": "0.3"}
    app = build(load(environ={}, overrides={"home": tmp_path}))
    app.store.count()
    app.close()
    command = [sys.executable, "-m", "offramp", "--home", str(tmp_path), "status"]
    told = [
        subprocess.run([*command, *more], env=environ, capture_output=True, text=True, check=True).stdout
        for more in ((), ("--json",))
    ]
    assert "Scheduled: 10 calls at once at the LLM, 3 of them kept" in told[0]
    assert json.loads(told[1])["schedule"]["reserve"] == 0.3


async def test_engines_under_supervision_lose_no_call_when_one_is_killed(tmp_path: Path) -> None:
    """Placement, supervisor and gateway together: real processes, one of them killed between calls."""
    host = Host(tmp_path, home=tmp_path / "enforce")
    wanted = host.wanted(engine("qwen.0", "triage"), engine("qwen.1", "triage", device=1))
    try:
        async with host.applied(wanted), site(tmp_path, engines=True) as made:

            async def ask() -> int:
                pieces = await made.client.completions.create(
                    model="triage", prompt="lights", max_tokens=3, stream=True
                )
                return len([piece async for piece in pieces if piece.choices])

            assert await asyncio.gather(*(ask() for _ in range(8))) == [3] * 8
            first = host.state.records()["qwen.0"].pid
            os.kill(first, signal.SIGKILL)
            await until(lambda: host.state.records()["qwen.0"].pid != first)
            assert await asyncio.gather(*(ask() for _ in range(8))) == [3] * 8
            engines = made.backstage.status()["schedule"]["engines"]["engines"]
            assert [facts["in_use"] for facts in engines.values()] == [0, 0]
    finally:
        host.clean()
