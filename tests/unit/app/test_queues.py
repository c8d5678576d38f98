from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from offramp.app.queues import (
    Proposals,
    class_named,
    classes_of_keys,
    objectives_of,
    rules_of,
    scheduled_line,
    teacher_queue,
    worker_dispatcher,
)
from offramp.config import ScheduleSettings
from offramp.core.call import Answer
from offramp.core.decision import Proposal
from offramp.core.errors import BadSetting, Busy, EngineError
from offramp.core.standing import CallClass, Standing

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

ONE = ScheduleSettings(slots=1, worker_slots=1)


class Worker:
    """A specialist that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    async def ask(self, specialist: str, task: str, request: JsonObject) -> Proposal:
        del task, request
        self.asked.append(specialist)
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return Proposal(Answer("on"), 0.9)


def proposals(worker: Worker, settings: ScheduleSettings = ONE) -> Proposals:
    """Proposals of a worker that takes one at a time."""
    dispatcher = worker_dispatcher(settings)
    assert dispatcher is not None
    return Proposals(dispatcher, objectives_of(settings), worker.ask)


def standing(asking: Proposals, **facts: Any) -> Standing:
    """A call that arrives now."""
    return Standing(arrived=asking.dispatcher.clock(), **facts)


async def test_proposals_come_one_after_the_other_interactive_first() -> None:
    """The worker gets no more than it has slots for; a call without a standing goes straight through."""
    worker = Worker()
    asking = proposals(worker)
    calls = [
        asyncio.create_task(asking.ask(name, "t", {}, standing(asking, kind=kind, tenant="x")))
        for name, kind in [("first", None), ("b", CallClass.BATCH), ("i", CallClass.INTERACTIVE)]
    ]
    calls.append(asyncio.create_task(asking.ask("unscheduled", "t", {}, None)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert worker.asked == ["first", "unscheduled"]
    worker.go.set()
    assert [proposal.confidence for proposal in await asyncio.gather(*calls)] == [0.9] * 4
    assert worker.asked == ["first", "unscheduled", "i", "b"]


async def test_a_failing_worker_gives_its_slot_back() -> None:
    """And what failed teaches predictions nothing."""
    worker = Worker()
    worker.failure = EngineError("gone")
    worker.go.set()
    asking = proposals(worker)
    for _ in range(3):
        with pytest.raises(EngineError, match="gone"):
            await asking.ask("s", "t", {}, standing(asking))
    counts = asking.dispatcher.status()["classes"]["interactive"]
    assert (counts["cancelled"], counts["completed"]) == (3, 0)


async def test_a_proposal_that_would_come_too_late_is_given_up_while_it_waits() -> None:
    """Busy, by a timer, so that the call can still go to the LLM with its deadline."""
    worker = Worker()
    asking = proposals(worker)
    first = asyncio.create_task(asking.ask("s", "t", {}, standing(asking)))
    await asyncio.sleep(0)
    now = asking.dispatcher.clock()
    slow = asyncio.create_task(asking.ask("s", "t", {}, standing(asking, due=now + 60.0)))
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="before its deadline") as told:
        await asking.ask("s", "t", {}, standing(asking, due=now + 0.2))
    assert (told.value.reason, told.value.retryable) == ("late", True)
    worker.go.set()
    assert (await first).answer == (await slow).answer == Answer("on")
    assert asking.dispatcher.status()["classes"]["interactive"]["refused"] == {
        "full": 0,
        "late": 1,
        "gone": 0,
    }


async def test_a_wait_that_is_cancelled_in_the_moment_of_its_turn_gives_the_slot_on() -> None:
    """The turn came, and the client left before it could be taken."""
    worker = Worker()
    worker.go.set()
    asking = proposals(worker)
    dispatcher = asking.dispatcher

    async def enter() -> Any:
        now = dispatcher.clock()
        return await dispatcher.enter(
            CallClass.TOOL, "m", tenant="", arrived=now, deadline=now + 60, service_s=1.0, tokens=1.0
        )

    holder = await enter()
    leaver, next_one = asyncio.create_task(enter()), asyncio.create_task(enter())
    await asyncio.sleep(0)
    holder.leave(answered=True)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    (await next_one).leave(answered=True)
    status = dispatcher.status()
    assert status["engines"]["the worker"]["in_use"] == 0
    assert status["classes"]["tool"]["completed"] == 2
    assert status["classes"]["tool"]["cancelled"] == 1


async def test_a_deferred_call_keeps_its_arrival_and_its_deadline() -> None:
    """Turned away by a busy worker, it goes before calls to the LLM that came while it waited."""
    worker, settings = Worker(), ScheduleSettings(slots=1, worker_slots=1, interactive_s=0.05)
    asking, queue = proposals(worker, settings), teacher_queue(settings)
    assert queue is not None
    clock = asking.dispatcher.clock
    held = [asyncio.create_task(asking.ask("s", "t", {}, standing(asking)))]
    holder = await queue.enter(Standing(arrived=clock()))
    await asyncio.sleep(0)
    early = standing(asking)
    order: list[str] = []

    async def answered(name: str, call: Standing) -> None:
        (await queue.enter(call)).leave(answered=True)
        order.append(name)

    with pytest.raises(Busy):
        await asking.ask("s", "t", {}, early)
    waiting = [asyncio.create_task(answered("later", Standing(arrived=clock())))]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(answered("deferred", early)))
    await asyncio.sleep(0)
    holder.leave(answered=True)
    worker.go.set()
    await asyncio.gather(*waiting, *held)
    assert order == ["deferred", "later"]


def test_nothing_is_scheduled_where_nothing_is_set() -> None:
    """Providers queue for themselves."""
    assert teacher_queue(ScheduleSettings()) is None
    assert worker_dispatcher(ScheduleSettings()) is None
    assert scheduled_line(ScheduleSettings()) == ""


def test_what_is_scheduled_is_told_in_a_line() -> None:
    """Slots, and how many are kept."""
    line = scheduled_line(ScheduleSettings(slots=10, worker_slots=2))
    assert "10 calls at once at the LLM, 2 of them kept" in line
    assert "2 proposals at once" in line


def test_settings_that_promise_too_much_or_name_no_class_are_refused() -> None:
    """Weights above one in all, an unknown class, an entry that is none."""
    with pytest.raises(BadSetting, match=r"sum up .* Mend schedule.interactive"):
        rules_of(ScheduleSettings(interactive=0.9))
    with pytest.raises(BadSetting, match="allowed: interactive, tool, llm, batch"):
        class_named("urgent")
    with pytest.raises(BadSetting, match="KEY=CLASS"):
        classes_of_keys(ScheduleSettings(keys="night"))
    assert classes_of_keys(ScheduleSettings(keys="a=batch, b=LLM")) == {
        "a": CallClass.BATCH,
        "b": CallClass.LLM,
    }


async def test_adapters_are_told_apart_and_other_models_are_one() -> None:
    """A flood of made-up model names makes no lines of its own."""
    queue = teacher_queue(ScheduleSettings(slots=2, adapters="a1,a2", loaded=1, small="mini"))
    assert queue is not None
    for model in ("a1", "mini", "x", "y"):
        turn = await queue.enter(Standing(arrived=queue.dispatcher.clock(), model=model))
        turn.leave(answered=True)
    status = queue.dispatcher.status()
    assert status["engines"]["the LLM"]["adapters"] == ["a1"]
    assert status["classes"]["interactive"]["completed"] == 2
    assert status["classes"]["llm"]["completed"] == 2


async def test_an_engine_that_was_lost_is_tried_again_after_a_pause() -> None:
    """What only it serves waits for it."""
    dispatcher = worker_dispatcher(ONE)
    assert dispatcher is not None
    dispatcher.lose("the worker", 0.01)
    assert dispatcher.status()["engines"]["the worker"] == {
        "slots": 1,
        "in_use": 0,
        "lent": 0,
        "shut": True,
        "losses": 1,
        "adapters": [],
    }
    now = dispatcher.clock()
    turn = await dispatcher.enter(
        CallClass.TOOL, "m", tenant="", arrived=now, deadline=now + 60, service_s=1.0, tokens=1.0
    )
    turn.leave(answered=True)
    assert dispatcher.status()["engines"]["the worker"]["shut"] is False
