"""A gateway between two clients and two teachers, over real sockets."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from offramp.core.admission import Admission, Refusal
from offramp.core.call import Answer, ToolCall
from offramp.core.decision import Routing

if TYPE_CHECKING:
    from collections.abc import Callable

    import anthropic
    import openai

    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing
    from offramp.gateway import Gateway
    from offramp.record.exchange import Exchange
    from offramp.testing.scripted_teacher import ScriptedTeacher
    from offramp.upstream.port import Headers

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOLS: Any = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]
CLAUDE: Any = {"model": "claude", "max_tokens": 99, "messages": HELLO}
USAGE: Any = {"include_usage": True}
BOOKING = Answer(tool_calls=(ToolCall("book", {"to": "Zürich", "seats": 2}),))


@dataclass(slots=True)
class Router:
    """Decides what the test wrote down."""

    idle: bool = True
    routing: Routing = field(default_factory=Routing)
    failure: Exception | None = None
    asked: list[JsonObject] = field(default_factory=list)
    standings: list[Standing | None] = field(default_factory=list)
    audits: list[tuple[Routing, JsonObject, JsonObject]] = field(default_factory=list)

    async def route(self, request: JsonObject, standing: Standing | None = None) -> Routing:
        self.standings.append(standing)
        self.asked.append(request)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self.routing

    async def observe_audit(self, routing: Routing, request: JsonObject, teacher: JsonObject) -> None:
        self.audits.append((routing, request, teacher))
        if self.failure is not None:
            raise self.failure


@dataclass(slots=True)
class Tap:
    """Keeps what it takes, or fails."""

    taken: list[Exchange] = field(default_factory=list)
    failure: Exception | None = None

    def take(self, exchange: Exchange) -> None:
        if self.failure is not None:
            raise self.failure
        self.taken.append(exchange)


@dataclass(slots=True)
class Guard:
    """Says what the test wrote down."""

    says: Admission | Refusal = field(default_factory=Admission)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def admit(self, method: str, path: str, headers: Headers, client: str = "") -> Admission | Refusal:
        self.asked.append((method, path))
        return self.says

    def refuses(self, admission: Admission, model: str) -> Refusal | None:
        return None if model in admission.models else Refusal(403, f"No {model!r} here.")


@dataclass(slots=True)
class World:
    """Clients, gateway and teachers."""

    tapped: Tap
    client: openai.AsyncOpenAI
    claude_client: anthropic.AsyncAnthropic
    gateway: Gateway
    teacher: ScriptedTeacher
    claude: ScriptedTeacher
    router: Router
    guard: Guard
    url: str

    @property
    def taken(self) -> list[Exchange]:
        return self.tapped.taken

    def answers_itself(self, answer: Answer, **fields: Any) -> None:
        self.router.idle = False
        self.router.routing = Routing(
            **{"task": "t1", "route": "s1", "confidence": 0.98765, "answer": answer, **fields}
        )

    def forget(self) -> None:
        for part in (self.router, self.teacher, self.claude, self.tapped, self.guard):
            part.__init__()  # type: ignore[misc] # back to the start


async def ask(world: World, **fields: Any) -> Any:
    """Ask with OpenAI's client."""
    asked = {"model": "gpt-4o", "messages": HELLO, **fields}
    return await world.client.chat.completions.create(**asked)


async def ask_raw(world: World, **fields: Any) -> Any:
    """Ask with OpenAI's client, for the response itself."""
    asked = {"model": "gpt-4o", "messages": HELLO, **fields}
    return await world.client.chat.completions.with_raw_response.create(**asked)


async def post(world: World, body: bytes, **headers: str) -> tuple[int, bytes, Any]:
    """Post a body as it is; returns status, body and header fields."""
    url = world.url + "/v1/chat/completions"
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status, await response.read(), response.headers


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the other side sets no event
            await asyncio.sleep(0.005)


async def raw(world: World, request: str) -> tuple[int, bytes]:
    """Send a request byte for byte on a connection of its own; returns status and body."""
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split(b" ")[1]), body


async def get(world: World, path: str) -> tuple[int, str]:
    """Get a path; returns status and text."""
    async with aiohttp.ClientSession() as session, session.get(world.url + path) as response:
        return response.status, await response.text()
