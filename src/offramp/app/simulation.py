"""A placement's file, traces and the catalogue, put together for a simulated run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.models import shape_named
from offramp.app.queues import rules_of
from offramp.core.errors import BadInput
from offramp.core.placement import Role
from offramp.core.standing import CallClass
from offramp.enforce.files import read_placement
from offramp.plan.devices import load_devices
from offramp.simulate.arrivals import read_trace
from offramp.simulate.policy import POLICIES
from offramp.simulate.results import summarise
from offramp.simulate.run import Stream, simulate
from offramp.simulate.scheduled import Scheduled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.config import Settings
    from offramp.core.placement import Placement
    from offramp.simulate.results import Summary


def stream_of(text: str, *, rank: int, load: float) -> Stream:
    """Read ``MODEL=TRACE@SECONDS``.

    Raises:
        BadInput: A part is missing or no number, or the trace cannot be read.
    """
    model, equals, rest = text.partition("=")
    trace, at, seconds = rest.rpartition("@")
    try:
        objective = float(seconds)
    except ValueError:
        objective = -1.0
    if not model or not equals or not at or objective <= 0:
        raise BadInput(f"--stream got {text!r}; allowed is MODEL=TRACE@SECONDS, as in triage=calls.csv@2.5.")
    return Stream(model, read_trace(Path(trace)).faster(load), objective, rank)


def classed(streams: Sequence[Stream], placement: Placement) -> list[Stream]:
    """Give streams that only engines of the LLM's role serve the LLM's class."""
    llm = {engine.base for engine in placement.engines if engine.role is Role.LLM}
    small = {engine.base for engine in placement.engines if engine.role is Role.SMALL}
    return [
        replace(stream, kind=CallClass.LLM) if stream.model in llm - small else stream for stream in streams
    ]


def run_placement(path: Path, streams: Sequence[Stream], policy: str, settings: Settings) -> Summary:
    """Simulate a placement's file.

    Raises:
        NotFound: There is no such file, or a base is not in the catalogue.
        BadInput: It is no placement, or no engine serves a stream.
    """
    placement = read_placement(path)
    shapes = {base: shape_named(base, settings) for base in sorted({one.base for one in placement.engines})}
    chosen = Scheduled(rules_of(settings.schedule)) if policy == "schedule" else POLICIES[policy]()
    outcome = simulate(placement, classed(streams, placement), chosen, shapes=shapes, devices=load_devices())
    return summarise(outcome, placement)
