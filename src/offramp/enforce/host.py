"""One host's engines from the outside: apply, hand over to the supervisor that is there, stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from offramp.core.errors import EngineError
from offramp.enforce.catalogue import local_backend
from offramp.enforce.diff import launches
from offramp.enforce.state import with_ports
from offramp.enforce.supervisor import Supervisor, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.enforce.keeper import Pace
    from offramp.enforce.state import Record, State, Wanted

LOOK_S = 0.1


async def apply(
    state: State,
    wanted: Wanted,
    pace: Pace,
    *,
    watch: bool = False,
    told: Callable[[dict[str, Record]], None] = lambda _: None,
) -> dict[str, Record]:
    """Bring the engines of a home to what is wanted; where a supervisor keeps them, have it do so.

    Args:
        state: The home.
        wanted: What is to run here.
        pace: How long things may take.
        watch: Keep the engines up until cancelled. They go on when this ends, watched or not.
        told: Called with what there is, once it is there.

    Raises:
        BadInput: The backend cannot express the placement; nothing was changed.
        EngineError: A device could not be made ready, or the other supervisor did not get there.
        UserError: ``watch``, and another supervisor is there.
    """
    # Refused before anybody is bothered with it.
    launches(wanted, local_backend(wanted.backend))
    if not watch and state.is_held():
        records = await _hand_over(state, wanted, within_s=pace.start_s)
        told(records)
        return records
    with state.held():
        supervisor = Supervisor(state, pace)
        try:
            records = await supervisor.apply(wanted)
            told(records)
            if watch:
                await supervisor.watch()
        finally:
            await supervisor.leave()
    return records


async def stop(state: State, pace: Pace) -> None:
    """Drain and end every engine of a home, and make its devices as they were.

    Raises:
        EngineError: A device could not be made as it was, or something of an engine is left.
    """
    await apply(state, nothing(state), pace)


async def _hand_over(state: State, wanted: Wanted, *, within_s: float) -> dict[str, Record]:
    wanted = with_ports(wanted, state.records())
    state.want(wanted)
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while state.reached() != wanted.version:
        if loop.time() >= end:
            raise EngineError(f"The supervisor of {state.folder} did not get there in {within_s:g} s.")
        if not state.is_held():
            raise EngineError(
                f"The supervisor of {state.folder} ended meanwhile.", hint="Apply again: you are the one now."
            )
        await asyncio.sleep(LOOK_S)
    return state.records()
