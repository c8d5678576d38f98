"""Orders to a running engine, over HTTP: is it well, what is in flight, adapters, sleep."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import orjson

from offramp.core.errors import BadInput, EngineError

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

ORDER_S = 120.0
"""Longest wait for an order: an adapter may come over the network."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Where an engine program takes its orders.

    Attributes:
        load: Loads an adapter.
        unload: Unloads one.
        sleep: Gives device memory back.
        wake: Takes it again.
        running: Metric of the requests that run.
        waiting: Metric of those that wait.
    """

    load: str
    unload: str
    sleep: str
    wake: str
    running: str
    waiting: str


ROUTES = {
    "vllm": Routes(
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/sleep?level=1",
        "/wake_up",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
    ),
    "sglang": Routes(
        "/load_lora_adapter",
        "/unload_lora_adapter",
        "/release_memory_occupation",
        "/resume_memory_occupation",
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
    ),
}


class Control:
    """Orders to the engine at one address; use it as an asynchronous context manager.

    Args:
        url: Its base URL, without ``/v1``.
        engine: The program: ``vllm`` or ``sglang``.
        timeout_s: Longest wait for a question (not an order).
    """

    def __init__(self, url: str, *, engine: str = "vllm", timeout_s: float = 5.0) -> None:
        if engine not in ROUTES:
            raise BadInput(f"Engine program {engine!r} is not known; allowed are {', '.join(ROUTES)}.")
        self._url = url.rstrip("/")
        self._routes = ROUTES[engine]
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def __aenter__(self) -> Control:
        """Open a session."""
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self._session.close()

    async def healthy(self) -> bool:
        """Whether it says that it is well, in time."""
        try:
            async with self._session.get(f"{self._url}/health") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def models(self) -> tuple[str, ...]:
        """Return the names it can be asked by: its own, and its adapters'.

        Raises:
            EngineError: It does not say.
        """
        text = await self._text("/v1/models")
        try:
            return tuple(str(one["id"]) for one in _json(text)["data"])
        except (KeyError, TypeError) as error:
            raise EngineError(f"{self._url}/v1/models is no list of models: {text[:200]}") from error

    async def in_flight(self) -> int | None:
        """Return the requests that run or wait; None where it does not say."""
        try:
            text = await self._text("/metrics")
        except EngineError:
            return None
        found = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.partition("{")[0].partition(" ")[0] in (self._routes.running, self._routes.waiting)
        ]
        return round(sum(found)) if found else None

    async def load_adapter(self, name: str, path: str) -> None:
        """Load an adapter; one of that name that is there already is no error.

        Raises:
            EngineError: It refused.
        """
        if name not in await self.models():
            await self._order(self._routes.load, {"lora_name": name, "lora_path": path})

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter; one that is not there is no error.

        Raises:
            EngineError: It refused.
        """
        if name in await self.models():
            await self._order(self._routes.unload, {"lora_name": name})

    async def sleep(self) -> None:
        """Have it give its device memory back; weights wait in host memory.

        Raises:
            EngineError: It refused.
        """
        await self._order(self._routes.sleep, {})

    async def wake(self) -> None:
        """Have it take its device memory again.

        Raises:
            EngineError: It refused.
        """
        await self._order(self._routes.wake, {})

    async def _order(self, path: str, body: JsonObject) -> None:
        timeout = aiohttp.ClientTimeout(total=ORDER_S)
        try:
            async with self._session.post(f"{self._url}{path}", json=body, timeout=timeout) as response:
                if response.status >= 300:
                    said = (await response.text())[:500]
                    raise EngineError(f"{self._url}{path} answered {response.status}: {said}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineError(f"{self._url}{path} could not be asked: {error!r}.") from error

    async def _text(self, path: str) -> str:
        try:
            async with self._session.get(f"{self._url}{path}") as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineError(f"{self._url}{path} could not be asked: {error!r}.") from error
        if response.status != 200:
            raise EngineError(f"{self._url}{path} answered {response.status}: {text[:500]}")
        return text


async def drained(control: Control, *, within_s: float, check_s: float) -> bool:
    """Wait until nothing is in flight.

    Returns:
        Whether it came to that in time; at once where the engine does not say.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        left = await control.in_flight()
        if not left:
            return left == 0
        if loop.time() >= end:
            return False
        await asyncio.sleep(check_s)


def _json(text: str) -> JsonObject:
    try:
        value: JsonObject = orjson.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
