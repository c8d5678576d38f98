"""Pairs of answers to a task's recorded calls, written to a file for people to label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.app.exports import written_whole
from offramp.app.judging import task_id
from offramp.app.security import reading
from offramp.core.errors import BadInput
from offramp.core.measure import FITTING, Measure
from offramp.curate.curate import curate
from offramp.curate.filter import require_consent
from offramp.dialect.codec import encode
from offramp.loop.ladder import Brief
from offramp.loop.pipeline import SHARES, Stages, find_tasks
from offramp.loop.to_label import to_label
from offramp.select import Unit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offramp.app.build import App
    from offramp.loop.to_label import ToLabel


def write_pairs(app: App, called: str, out: Path, most: int, say: Callable[[str], None]) -> ToLabel:
    """Write pairs of answers to a task's calls, masked as they are stored, one a line.

    Args:
        app: The installation.
        called: Id, slug or name of the task.
        out: The file.
        most: Pairs at most.
        say: Told what is going on.

    Raises:
        NotFound: There is no such task.
        BadInput: Its answers need no judge, or no candidate gives any that differ from the LLM's.
    """
    calls, discovery = find_tasks(reading(app, "judge sample"), Stages(), say, measures=app.measures)
    wanted = task_id(app.store, called)
    (task,) = (one for one in discovery.tasks if one.id == wanted)
    if Measure.JUDGE not in FITTING[task.output]:
        raise BadInput(
            f"Task {task.name!r} has {task.output.value} answers, which need no judge.",
            hint="A judge compares text and JSON.",
        )
    dataset = curate(calls, discovery.assignment, (task,), shares=SHARES)
    require_consent([dataset])
    brief = Brief(Unit(task.name, (task,), task.output), dataset)
    found = to_label(brief, app.workshop(say), most, say)
    with written_whole(out) as file:
        for row in found.rows:
            file.write(encode(row) + b"\n")
    return found
