"""The queues in front of the LLM and of the worker with the specialists, and what they go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.app.dispatch import Dispatcher
from offramp.core.errors import BadInput, BadSetting
from offramp.core.standing import CallClass
from offramp.schedule.rules import ANYTHING, ClassRule, EngineSpec, Rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from offramp.app.dispatch import Turn
    from offramp.config import ScheduleSettings
    from offramp.core.decision import Proposal
    from offramp.core.json import JsonObject
    from offramp.core.standing import Standing

    Ask = Callable[[str, str, JsonObject], Awaitable[Proposal]]

READ_PER_WRITTEN = 50.0
"""Tokens that are read in the time of one that is written."""

WRITTEN_S = 0.02
"""Seconds of one written token, until calls of a class and model were measured."""

WRITTEN_TOKENS = 300
"""Tokens of an answer where the request allows more."""

PROPOSAL_S = 0.05
"""Seconds of a specialist's proposal, until its calls were measured."""


def rules_of(settings: ScheduleSettings) -> Rules:
    """Make the rules of the settings.

    Raises:
        BadSetting: They promise more than there is.
    """
    weights = {
        CallClass.INTERACTIVE: settings.interactive,
        CallClass.TOOL: settings.tool,
        CallClass.LLM: settings.llm,
        CallClass.BATCH: settings.batch,
    }
    classes = {
        kind: ClassRule(
            weight,
            reserve=settings.reserve if kind is CallClass.LLM else 0.0,
            queue=settings.queue,
            strict=kind is CallClass.INTERACTIVE,
        )
        for kind, weight in weights.items()
    }
    try:
        return Rules(classes, lend_s=settings.lend_s)
    except BadInput as error:
        raise BadSetting(
            error.message, hint="Mend schedule.interactive, .tool, .llm, .batch or .reserve."
        ) from error


def objectives_of(settings: ScheduleSettings) -> dict[CallClass, float]:
    """Return the seconds within which calls of each class are to be answered."""
    return {
        CallClass.INTERACTIVE: settings.interactive_s,
        CallClass.TOOL: settings.tool_s,
        CallClass.LLM: settings.llm_s,
        CallClass.BATCH: settings.batch_s,
    }


def class_named(word: str) -> CallClass:
    """Return the class of a name.

    Raises:
        BadSetting: There is none.
    """
    try:
        return CallClass[word.strip().upper()]
    except KeyError:
        known = ", ".join(kind.name.lower() for kind in CallClass)
        raise BadSetting(f"There is no class {word.strip()!r}; allowed: {known}.", hint="Mend it.") from None


def classes_of_keys(settings: ScheduleSettings) -> dict[str, CallClass]:
    """Return the class that calls of a key have, by the key's id.

    Raises:
        BadSetting: An entry is not ``KEY=CLASS``.
    """
    found = {}
    for entry in _words(settings.keys):
        key, equals, word = entry.partition("=")
        if not equals or not key.strip():
            raise BadSetting(
                f"Setting schedule.keys holds {entry!r}; allowed is KEY=CLASS, separated by commas.",
                hint="`offramp keys list` has the ids.",
            )
        found[key.strip()] = class_named(word)
    return found


class Queue:
    """Calls in front of one engine.

    Args:
        dispatcher: The engine's.
        objectives: Seconds until the answer, by class.
        small: Models of it that count as small; calls for others are the LLM's.
        models: Models that the engine tells apart; others are one.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        objectives: Mapping[CallClass, float],
        *,
        small: frozenset[str] = frozenset(),
        models: frozenset[str] = frozenset(),
    ) -> None:
        self.dispatcher = dispatcher
        self._objectives = objectives
        self.know(small, models)

    def know(self, small: frozenset[str], models: frozenset[str]) -> None:
        """Tell models apart in another way from now on; see the constructor."""
        self._small = small
        self._models = models | small

    async def enter(self, standing: Standing) -> Turn:
        """Wait for a slot of the engine that answers the call.

        Raises:
            Busy: There is no room, or no time.
        """
        kind = self._class_of(standing)
        written = min(standing.written or WRITTEN_TOKENS, WRITTEN_TOKENS)
        return await self.dispatcher.enter(
            kind,
            standing.model if standing.model in self._models else ANYTHING,
            tenant=standing.tenant,
            arrived=standing.arrived,
            deadline=self._due(standing, kind),
            service_s=(standing.read / READ_PER_WRITTEN + written) * WRITTEN_S,
            tokens=standing.read + 2.0 * written,
        )

    def _class_of(self, standing: Standing) -> CallClass:
        if standing.model in self._small:
            return _small_class(standing)
        # Classes before the LLM's are small models': a call for another does not get their priority.
        return CallClass.BATCH if standing.kind is CallClass.BATCH else CallClass.LLM

    def _due(self, standing: Standing, kind: CallClass) -> float:
        return standing.due if standing.due is not None else standing.arrived + self._objectives[kind]


class Proposals:
    """Specialists' proposals, in the scheduler's order.

    Args:
        dispatcher: The worker's.
        objectives: Seconds until the answer, by class.
        ask: Specialist id, task id and request to a proposal.
    """

    def __init__(self, dispatcher: Dispatcher, objectives: Mapping[CallClass, float], ask: Ask) -> None:
        self.dispatcher = dispatcher
        self._objectives = objectives
        self._ask = ask

    async def ask(
        self, specialist: str, task: str, request: JsonObject, standing: Standing | None
    ) -> Proposal:
        """Ask when it is the call's turn.

        Raises:
            Busy: There is no room, or no time; the call defers and keeps its deadline.
            EngineError: There was no proposal.
        """
        if standing is None:
            return await self._ask(specialist, task, request)
        kind = _small_class(standing)
        objective = standing.arrived + self._objectives[kind]
        turn = await self.dispatcher.enter(
            kind,
            specialist,
            tenant=standing.tenant,
            arrived=standing.arrived,
            deadline=objective if standing.due is None else standing.due,
            service_s=PROPOSAL_S,
            tokens=standing.read + 2.0 * min(standing.written or WRITTEN_TOKENS, WRITTEN_TOKENS),
        )
        answered = False
        try:
            proposal = await self._ask(specialist, task, request)
            answered = True
        finally:
            turn.leave(answered=answered)
        return proposal


def teacher_queue(settings: ScheduleSettings) -> Queue | None:
    """Make the queue in front of the LLM; None where none is wanted."""
    if not settings.slots:
        return None
    adapters = frozenset(_words(settings.adapters))
    spec = EngineSpec(
        "the LLM",
        settings.slots,
        frozenset((ANYTHING,)),
        adapters,
        min(settings.loaded, len(adapters)),
    )
    return Queue(
        Dispatcher([spec], rules_of(settings)),
        objectives_of(settings),
        small=frozenset(_words(settings.small)) | adapters,
        models=adapters,
    )


def worker_dispatcher(settings: ScheduleSettings) -> Dispatcher | None:
    """Make the dispatcher in front of the worker; None where none is wanted."""
    if not settings.worker_slots:
        return None
    spec = EngineSpec("the worker", settings.worker_slots, frozenset((ANYTHING,)))
    return Dispatcher([spec], rules_of(settings))


def scheduled_line(settings: ScheduleSettings) -> str:
    """Say in one line what waits where, "" where nothing does."""
    parts = []
    if settings.slots:
        kept = int(settings.slots * settings.reserve + 1e-9)
        parts.append(f"{settings.slots} calls at once at the LLM, {kept} of them kept for its own calls")
    if settings.worker_slots:
        parts.append(f"{settings.worker_slots} proposals at once at the worker")
    told = "; ".join(parts)
    return f"Scheduled: {told}. The gateway's /offramp/status says who waits." if told else ""


def _small_class(standing: Standing) -> CallClass:
    if standing.kind is not None:
        return standing.kind
    return CallClass.TOOL if standing.tools else CallClass.INTERACTIVE


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
