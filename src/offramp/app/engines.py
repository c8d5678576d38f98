"""The engines of this machine that `offramp enforce apply` keeps up, as the gateway asks them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from offramp.app.dispatch import Dispatcher, Place
from offramp.app.queues import Queue, objectives_of, rules_of
from offramp.core.placement import Role
from offramp.enforce.engines import ports
from offramp.plan.speed import HOST_BANDWIDTH
from offramp.schedule.rules import EngineSpec, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.config import ScheduleSettings
    from offramp.core.json import JsonObject
    from offramp.core.placement import PlacedEngine
    from offramp.core.standing import Standing
    from offramp.enforce.state import State, Wanted
    from offramp.upstream.port import Upstream

log = logging.getLogger("offramp.app")

_REACHED = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with


class Engines:
    """Local engines by the models that they serve.

    What is wanted is read from the supervisor's file, and again when it changes. Engines whose name stays
    keep their calls; those under way at one that is gone end there.

    Args:
        settings: Classes, objectives and limits.
        state: The supervisor's files.
        open_way: Opens the way to a base URL.
    """

    def __init__(self, settings: ScheduleSettings, state: State, open_way: Callable[[str], Upstream]) -> None:
        self._settings = settings
        self._state = state
        self._open_way = open_way
        self._version = ""
        self._queue = Queue(Dispatcher((), rules_of(settings)), objectives_of(settings))
        self._models: frozenset[str] = frozenset()
        self._adapters: frozenset[str] = frozenset()
        self._small: frozenset[str] = frozenset()
        self._ways: dict[str, Upstream] = {}
        self._urls: dict[str, str] = {}
        self._left: list[Upstream] = []

    def serves(self, model: str) -> bool:
        """Whether a local engine answers for a model."""
        return model in self._models

    async def enter(self, standing: Standing) -> Place:
        """Wait for a slot of an engine that serves the call's model.

        Raises:
            Busy: There is no room, or no time.
        """
        turn = await self._queue.enter(standing)
        model = standing.model
        return Place(
            self._ways[turn.engine],
            turn,
            model=None if model in self._adapters else turn.engine,
            small=model in self._small,
            dispatcher=self._queue.dispatcher,
        )

    def reload(self) -> None:
        """Take what is wanted now.

        Raises:
            BadInput: The supervisor's file is damaged.
        """
        wanted = self._state.wanted()
        version = "" if wanted is None else wanted.version
        if version == self._version:
            return
        self._version = version
        self._take(wanted)

    def status(self) -> JsonObject:
        """What the queue says of itself."""
        return self._queue.dispatcher.status()

    async def aclose(self) -> None:
        """Close every way."""
        for way in (*self._ways.values(), *self._left):
            await way.aclose()

    def _take(self, wanted: Wanted | None) -> None:
        engines = () if wanted is None else wanted.placement.engines
        self._lead(wanted)
        specs = [_spec(engine) for engine in engines]
        small = [engine for engine in engines if engine.role is Role.SMALL]
        names = {name for engine in small for name in (engine.base, engine.name)}
        names |= {adapter.specialist for engine in small for adapter in engine.adapters}
        self._adapters = frozenset[str]().union(*(spec.adapters for spec in specs))
        self._models = self._adapters.union(*(spec.models for spec in specs))
        self._small = frozenset(names)
        self._queue.know(self._small, self._models)
        self._queue.dispatcher.change(specs)
        log.info("Local engines: %s", ", ".join(spec.name for spec in specs) or "none")

    def _lead(self, wanted: Wanted | None) -> None:
        """Open ways to engines that are new or moved; old ones stay, calls may be under way on them."""
        if wanted is None:
            return
        host = _REACHED.get(wanted.options.host, wanted.options.host)
        for name, port in ports(wanted.placement, wanted.options).items():
            url = f"http://{host}:{port}/v1"
            if self._urls.get(name) != url:
                if name in self._ways:
                    self._left.append(self._ways[name])
                self._ways[name], self._urls[name] = self._open_way(url), url


def _spec(engine: PlacedEngine) -> EngineSpec:
    """Its base is asked for by the base's name, or by the engine's own."""
    spec = spec_of(engine, load_s=engine.memory.adapters / max(engine.loaded, 1) / HOST_BANDWIDTH)
    return EngineSpec(
        spec.name, spec.slots, spec.models | {engine.name}, spec.adapters, spec.loaded, spec.load_s
    )
