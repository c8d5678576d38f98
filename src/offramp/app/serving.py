"""What runs behind the gateway: the recorder, the worker, the router, and the watch over deployments."""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from offramp.app import judging
from offramp.app.engines import Engines
from offramp.app.queues import Proposals, objectives_of, teacher_queue, worker_dispatcher
from offramp.app.security import guard_of
from offramp.app.sessions import FirstOfSession
from offramp.app.teacher import open_teacher
from offramp.app.worker_process import WorkerProcess
from offramp.certify.agreement import Pair, agreeing
from offramp.core.errors import EngineError
from offramp.core.measure import Measure
from offramp.discover.assign import Assigner
from offramp.enforce.state import State
from offramp.loop import state
from offramp.loop.staleness import compared, why_stale
from offramp.record.folder import ring_folders
from offramp.record.journal import Journal
from offramp.record.tap import Tap
from offramp.route import SpecialistRouter

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from offramp.app.build import App
    from offramp.core.call import Answer, OutputType
    from offramp.core.decision import Proposal
    from offramp.core.deployment import Deployment
    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing
    from offramp.upstream.port import Upstream

log = logging.getLogger("offramp.app")

POLL_S = 1.0
RETRY_S = 30.0
"""Seconds until a worker that did not get ready is tried again."""


class Backstage:
    """Everything behind one gateway.

    Use it as an asynchronous context manager: inside it, calls can be recorded and routed.

    Args:
        app: The installation.
        command: Gives the command line of a child process ("recorder", "worker"), without its arguments.
        poll_s: Seconds between looks at what the store wants live.
    """

    def __init__(
        self, app: App, *, command: Callable[[App, str], list[str]] | None = None, poll_s: float = POLL_S
    ) -> None:
        self._app = app
        self._poll_s = poll_s
        settings = app.settings
        command = command or command_of
        gateway = settings.gateway
        self.upstream = open_teacher(gateway, gateway.upstream, gateway.upstream_key)
        self.anthropic = open_teacher(
            gateway, gateway.anthropic, gateway.anthropic_key, key_field="x-api-key"
        )
        self.guard = guard_of(app)
        self.tap = Tap(command(app, "recorder"), lambda: _journal(app))
        self._assigner: Assigner | None = None
        self._judge_chat = judging.chat_of(settings)
        # Audits have a rate, not a budget: without them nobody watches what was promised.
        self._judge = judging.judge_of(settings, self._judge_chat, most=0)
        self._compared: dict[str, tuple[OutputType, Measure | None]] = {}
        self._worker = WorkerProcess([*command(app, "worker"), "--base", settings.train.base])
        scheduled = settings.schedule
        self.queue = teacher_queue(scheduled)
        self._dispatcher = worker_dispatcher(scheduled)
        self._proposals = (
            Proposals(self._dispatcher, objectives_of(scheduled), self._worker.ask)
            if self._dispatcher
            else None
        )
        self.engines = (
            Engines(scheduled, State(settings.home / "enforce"), self._way_to_engine)
            if scheduled.engines
            else None
        )
        self._deployed: list[Deployment] = []
        self._failed: tuple[set[str], float] = (set(), 0.0)
        self._rolled_back: dict[str, str] = {}
        self.router = SpecialistRouter(
            assign=self._assign,
            ask=self._ask,
            agree=self._agree,
            monitor=lambda deployment: _watch().StoredAudit(app.store, deployment),
            audit_rate=settings.certify.audit_rate,
            rng=random.SystemRandom(),
            on_rollback=self._on_rollback,
            first_of_session=FirstOfSession(),
        )

    async def __aenter__(self) -> Backstage:
        """Start the recorder and whatever is live.

        Raises:
            StorageError: The store cannot be opened.
        """
        try:
            if self.engines is not None:
                self.engines.reload()
            if self._app.settings.record.enabled:
                await self.tap.start()
            await self._refresh()
        except EngineError as error:
            # Traffic must not wait for specialists: the teacher answers.
            log.error("Specialists could not be started: %s", error)  # noqa: TRY400 - it says all there is
        except BaseException:
            await self._close()
            raise
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop watching, end the worker, let the recorder write what it holds."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        await self._worker.stop()
        await self.tap.close()
        await self.upstream.aclose()
        await self.anthropic.aclose()
        if self.engines is not None:
            await self.engines.aclose()
        await asyncio.to_thread(self._judge_chat.close)

    def status(self) -> JsonObject:
        """Say what is live, with live risk bounds, and how recording goes."""
        stats = self.tap.stats()
        return {
            "upstream": self._app.settings.gateway.upstream,
            "recording": {
                "enabled": self._app.settings.record.enabled,
                "taken": stats.taken,
                "written": stats.written,
                "waiting": stats.waiting,
                "failed": stats.failed,
                "dropped": stats.dropped,
                "restarts": stats.restarts,
                "lag_s": stats.lag_s,
                "stalled": stats.stalled,
                "earlier_losses": stats.earlier_losses,
                "error": stats.error,
            },
            "live": [
                {**deployment.to_dict(), **_watch().live_risk(self._app.store, deployment)}
                for deployment in self._deployed
                if deployment.specialist in self.router.live
            ],
            "rolled_back": self._rolled_back,
            "schedule": self._schedule(),
        }

    @property
    def scheduled(self) -> bool:
        """Whether calls wait for their turn anywhere."""
        return any(one is not None for one in (self.queue, self._proposals, self.engines))

    def _way_to_engine(self, url: str) -> Upstream:
        # A provider's key is none of an engine's business.
        return open_teacher(self._app.settings.gateway, url, "none")

    async def _ask(
        self, specialist: str, task: str, request: JsonObject, standing: Standing | None
    ) -> Proposal:
        if self._proposals is None:
            return await self._worker.ask(specialist, task, request)
        return await self._proposals.ask(specialist, task, request, standing)

    def _schedule(self) -> JsonObject:
        llm = None if self.queue is None else self.queue.dispatcher
        found = {"llm": llm, "worker": self._dispatcher, "engines": self.engines}
        return {name: one.status() for name, one in found.items() if one is not None}

    def _assign(self, request: JsonObject) -> str | None:
        return None if self._assigner is None else self._assigner.assign(request)

    async def _agree(self, task: str, request: JsonObject, ours: Answer, theirs: Answer) -> bool:
        output, measure = self._compared[task]
        decide = partial(agreeing, output, [Pair(request, ours, theirs)], measure=measure, judge=self._judge)
        # A judge takes seconds, in which nothing else must wait.
        (same,) = await asyncio.to_thread(decide) if measure is Measure.JUDGE else decide()
        return same

    def _on_rollback(self, specialist: str, reason: str) -> None:
        self._rolled_back[specialist] = reason
        # No longer what the router has: promoted again before the next look, it is to be deployed anew.
        self._deployed = [one for one in self._deployed if one.specialist != specialist]
        self._app.store.delete(state.DEPLOYMENT, specialist)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                self.guard.reload(self._app.store)
                if self.engines is not None:
                    self.engines.reload()
                await self._refresh()
            except Exception:
                # The process edge: traffic goes on with what is live, and the next look may succeed.
                log.exception("Keys and deployments could not be read anew")

    async def _refresh(self) -> None:
        """Make what is live what the store says; a new worker is ready before the old one goes."""
        wanted = self._wanted()
        names = {deployment.specialist for deployment in wanted}
        if names <= self._worker.open:
            self._deploy(wanted)
            return
        # What was taken out goes at once, whether or not the rest can be opened.
        self._deploy_open(wanted)
        failed, at = self._failed
        if names == failed and time.monotonic() < at + RETRY_S:
            return
        try:
            await self._worker.replace(sorted(names))
        except EngineError:
            self._failed = (names, time.monotonic())
            raise
        # Starting takes seconds, in which audits may have taken something out.
        self._deploy_open(self._wanted())

    def _wanted(self) -> list[Deployment]:
        """Read what is to be live; what was certified in another sense than the settings' now goes out."""
        wanted = state.deployments(self._app.store)
        if wanted == self._deployed:
            return wanted
        tasks = {task.id: task for task in state.load_tasks(self._app.store)}
        fresh = []
        for deployment in wanted:
            if reason := why_stale(deployment, tasks, self._app.measures):
                log.warning("Rolled back %s: %s", deployment.specialist, reason)
                self._on_rollback(deployment.specialist, reason)
            else:
                fresh.append(deployment)
        return fresh

    def _deploy_open(self, wanted: list[Deployment]) -> None:
        self._deploy([deployment for deployment in wanted if deployment.specialist in self._worker.open])

    def _deploy(self, wanted: list[Deployment]) -> None:
        if wanted == self._deployed:
            return
        tasks, measures = state.load_tasks(self._app.store), self._app.measures
        by_id = {task.id: task for task in tasks}
        self._compared = {
            task: sense
            for deployment in wanted
            for task, sense in compared(deployment, by_id, measures).items()
        }
        rules = state.load_assigner(self._app.store)
        self._assigner = Assigner.from_dict(rules) if rules else None
        self.router.deploy(wanted)
        self._deployed = wanted
        log.info("Live: %s", ", ".join(deployment.specialist for deployment in wanted) or "nothing")


def _watch() -> ModuleType:
    """Import what audits need (scipy: a second, and 50 MB) where something is live, and not before."""
    return importlib.import_module("offramp.app.watch")


def _journal(app: App) -> Journal:
    """Make the ring of this gateway."""
    settings = app.settings
    folders = ring_folders(settings.home, settings.record.ring_folder)
    return Journal.create(folders, app.store.secret("ring"), size=settings.record.ring_mb << 20)


def command_of(app: App, name: str) -> list[str]:
    """Return the command line of a child process that reads the same settings, without its own arguments."""
    return [sys.executable, "-m", "offramp", *arguments_of(app, name)]


def arguments_of(app: App, name: str) -> list[str]:
    """Return a command's name with the arguments before it that have it read the same settings."""
    settings = app.settings
    named = ["--settings", str(settings.file)] if settings.file else []
    return [*named, "--home", str(settings.home.resolve()), name]
