"""The router: one decision a call, with the teacher as the answer to every doubt."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from offramp.core.call import answer_of
from offramp.core.decision import Routing
from offramp.core.errors import Busy, OfframpError
from offramp.core.json import digest
from offramp.route.mix import MixWatch

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterable

    from offramp.core.call import Answer
    from offramp.core.decision import Proposal
    from offramp.core.deployment import Deployment
    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing

    Assign = Callable[[JsonObject], str | None]
    Ask = Callable[[str, str, JsonObject, Standing | None], Awaitable[Proposal]]
    Agree = Callable[[str, JsonObject, Answer, Answer], Awaitable[bool]]

log = logging.getLogger(__name__)


class AuditMonitor(Protocol):
    """An anytime-valid test of a live specialist's risk."""

    def update(self, loss: float, /) -> object:
        """Take in one audited call: 1.0 where the answer disagreed with the teacher's, else 0.0."""
        ...

    @property
    def rejected(self) -> bool:
        """Whether the risk is above alpha, at the deployment's confidence."""
        ...


class _Live:
    """One deployment with what is watched while it serves."""

    def __init__(self, deployment: Deployment, monitor: AuditMonitor) -> None:
        self.deployment = deployment
        self.monitor = monitor
        self.mix = MixWatch(deployment)


class SpecialistRouter:
    """Assigns each call to its task and lets the task's specialist answer where it is sure.

    Args:
        assign: Request to task id, None where it fits none.
        ask: Specialist id, task id, request and its standing to the proposal; may raise `OfframpError`.
        agree: Task id, request, and whether our answer to it and the teacher's are the same.
        monitor: Makes the audit test of a deployment.
        audit_rate: Share of answered calls that are audited, drawn uniformly.
        rng: Source of that draw.
        on_rollback: Told the specialist's id and the reason when one is taken out.
        first_of_session: Whether a session's audit is its first; further ones are no independent draws.
    """

    def __init__(
        self,
        *,
        assign: Assign,
        ask: Ask,
        agree: Agree,
        monitor: Callable[[Deployment], AuditMonitor],
        audit_rate: float,
        rng: random.Random,
        on_rollback: Callable[[str, str], None],
        first_of_session: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._assign = assign
        self._ask = ask
        self._agree = agree
        self._monitor = monitor
        self._audit_rate = audit_rate
        self._rng = rng
        self._on_rollback = on_rollback
        self._first_of_session = first_of_session
        self._live: dict[str, _Live] = {}

    @property
    def idle(self) -> bool:
        """True while nothing is live."""
        return not self._live

    @property
    def live(self) -> tuple[str, ...]:
        """Ids of the specialists that serve."""
        return tuple(sorted({live.deployment.specialist for live in self._live.values()}))

    def deploy(self, deployments: Iterable[Deployment]) -> None:
        """Replace what is live; a deployment that stays keeps its audits."""
        before, self._live = list(self._live.values()), {}
        for deployment in deployments:
            kept = (live for live in before if live.deployment == deployment)
            live = next(kept, None) or _Live(deployment, self._monitor(deployment))
            # Members that always defer are watched as well: they are part of the certified mix.
            self._live |= dict.fromkeys((*deployment.mix, *deployment.tasks), live)

    async def route(self, request: JsonObject, standing: Standing | None = None) -> Routing:
        """Decide for one decoded chat-completions request; never raises."""
        task = self._assign(request)
        if task is None:
            return Routing(reason="no task")
        live = self._live.get(task)
        if live is None:
            return Routing(task=task, reason="not live")
        if reason := _beyond(request):
            return Routing(task=task, reason=reason)
        live.mix.observe(task)
        if live.mix.voided:
            self._roll_back(live, f"mix of tasks moved by {live.mix.distance:.2f}")
            return Routing(task=task, reason="mix changed")
        if task not in live.deployment.tasks:
            return Routing(task=task, reason="always deferred")
        return await self._asked(task, live.deployment, request, standing)

    async def _asked(
        self, task: str, deployment: Deployment, request: JsonObject, standing: Standing | None
    ) -> Routing:
        try:
            proposal = await self._ask(deployment.specialist, task, request, standing)
        except Busy:
            return Routing(task=task, reason="specialist busy")
        except OfframpError as error:
            log.warning("Specialist %s gave no proposal: %s", deployment.specialist, error)
            return Routing(task=task, reason="specialist failed")
        decided = Routing(task=task, confidence=proposal.confidence)
        if proposal.answer is None:
            return replace(decided, reason="no valid answer")
        if proposal.confidence < deployment.threshold_of(task):
            return replace(decided, reason="below threshold")
        audit = self._rng.random() < self._audit_rate
        return replace(decided, route=deployment.specialist, answer=proposal.answer, audit=audit)

    async def observe_audit(self, routing: Routing, request: JsonObject, teacher: JsonObject) -> None:
        """Compare an audited answer with the teacher's; roll back where the risk is above alpha.

        Raises:
            OfframpError: Whoever has to compare them could not.
        """
        live = self._live.get(routing.task or "")
        theirs = answer_of(teacher)
        if live is None or routing.task is None or routing.answer is None or theirs is None:
            return
        if live.deployment.specialist != routing.route:
            # Another one serves by now, and answers for its own alone.
            return
        if not self._first_of_session(_session(request)):
            return
        same = await self._agree(routing.task, request, routing.answer, theirs)
        if self._live.get(routing.task) is not live:
            return
        live.monitor.update(0.0 if same else 1.0)
        if live.monitor.rejected:
            self._roll_back(live, f"audits show a risk above {live.deployment.alpha:g}")

    def _roll_back(self, live: _Live, reason: str) -> None:
        specialist = live.deployment.specialist
        self._live = {task: other for task, other in self._live.items() if other is not live}
        log.warning("Rolled back %s: %s", specialist, reason)
        self._on_rollback(specialist, reason)


def _session(request: JsonObject) -> str:
    """Tell sessions apart by the end user, and without one by how the conversation began."""
    user = request.get("user") or request.get("safety_identifier")
    return digest([user, None if user else request.get("messages", [])[:2]], size=12)


def _beyond(request: JsonObject) -> str:
    """Name what the request asks for that no specialist gives, "" where there is nothing."""
    if (request.get("n") or 1) != 1:
        return "n > 1"
    if request.get("logprobs"):
        return "logprobs asked for"
    return ""
