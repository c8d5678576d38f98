from __future__ import annotations

import pytest
from tests.unit.gateway.core import AUDITED, BODY, REQUEST, World

from offramp.app.queues import teacher_queue
from offramp.config import ScheduleSettings
from offramp.core.standing import CallClass
from offramp.gateway.caller import Caller
from offramp.gateway.standings import Standings
from offramp.gateway.wire import Asked


def asked(*headers: tuple[bytes, bytes]) -> Asked:
    """A chat call."""
    return Asked("POST", "/v1/chat/completions", headers, BODY, "10.0.0.1")


def caller(who: str = "w", key: str = "") -> Caller:
    """Who asks."""
    return Caller(who, "", (), record=True, trainable=True, key=key)


STANDINGS = Standings(keys={"k": CallClass.BATCH}, clock=lambda: 100.0)


def test_a_call_says_what_it_asks_for() -> None:
    """Model, tools, sizes, and who asks: a key's id, else the pseudonym, else the address."""
    request = {**REQUEST, "tools": [{}], "max_tokens": 7}
    found = STANDINGS.of(asked(), caller(), request)
    assert (found.model, found.tools, found.written, found.read) == ("m", True, 7, len(BODY) // 4)
    assert (found.kind, found.due, found.arrived, found.tenant) == (None, None, 100.0, "w")
    assert STANDINGS.of(asked(), caller(key="k"), request).tenant == "k"
    assert STANDINGS.of(asked(), caller(""), None).tenant == "10.0.0.1"


def test_a_body_that_is_odd_says_nothing() -> None:
    """What is wrong with it is the teacher's to say."""
    found = STANDINGS.of(asked(), caller(), {"model": 3, "max_tokens": "many", "tools": None})
    assert (found.model, found.tools, found.written) == ("", False, 0)
    assert STANDINGS.of(asked(), caller(), None).model == ""


@pytest.mark.parametrize(
    ("value", "due"), [(b"1500", 101.5), (b" 20 ", 100.02), (b"soon", None), (b"-5", None), (b"9" * 30, None)]
)
def test_a_deadline_counts_from_arrival(value: bytes, due: float | None) -> None:
    """One that cannot be read is none."""
    assert STANDINGS.of(asked((b"x-offramp-deadline-ms", value)), caller(), None).due == due


def test_a_key_goes_before_a_header() -> None:
    """Class names as in the settings; an unknown one is none."""
    wish = (b"x-offramp-class", b"Interactive")
    assert STANDINGS.of(asked(wish), caller(), None).kind is CallClass.INTERACTIVE
    assert STANDINGS.of(asked(wish), caller(key="k"), None).kind is CallClass.BATCH
    assert STANDINGS.of(asked((b"x-offramp-class", b"urgent")), caller(), None).kind is None


async def test_an_audit_waits_as_batch_and_the_router_is_told_the_standing() -> None:
    """Nobody waits for an audit; a specialist's answer itself takes no slot at the LLM."""
    world = World()
    queue = teacher_queue(ScheduleSettings(slots=1))
    assert queue is not None
    world.schedule(queue, Standings())
    world.router.routing = AUDITED
    await world.ask_and_audit()
    assert [standing and standing.model for standing in world.router.standings] == ["m"]
    classes = queue.dispatcher.status()["classes"]
    assert {name: facts["completed"] for name, facts in classes.items()} == {
        "interactive": 0,
        "tool": 0,
        "llm": 0,
        "batch": 1,
    }
    assert len(world.teacher.heard) == 1


async def test_a_refused_audit_is_given_up_after_its_tries() -> None:
    """It is counted as failed, and no call of a client is."""
    world = World()
    queue = teacher_queue(ScheduleSettings(slots=1, queue=0))
    assert queue is not None
    world.schedule(queue, Standings())
    world.router.routing = AUDITED
    held = await queue.enter(Standings().of(asked(), caller(), None))
    await world.ask_and_audit()
    held.leave(answered=True)
    assert world.teacher.heard == []
    assert queue.dispatcher.status()["classes"]["batch"]["refused"]["full"] == 3
