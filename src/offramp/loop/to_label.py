"""Pairs of answers for people to label, so that a judge can be measured on them.

They are what a judge will have to decide about: answers of candidates to a task's own calls, beside the
teacher's. Calls come from the validation part, one a session; calibration calls are none of them.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from offramp.certify.agreement import same
from offramp.core.errors import BadInput, OfframpError
from offramp.core.measure import Measure
from offramp.engine.specialist import TaskRequest
from offramp.loop.ladder import make
from offramp.loop.race import is_slow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.core.call import Answer
    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject
    from offramp.loop.workshop import Brief, Workshop

_SHOWN: Final = ("messages", "tools", "functions", "response_format")
"""Fields of a request that a reader needs to tell whether two answers are the same."""


@dataclass(frozen=True, slots=True)
class ToLabel:
    """Pairs without a label.

    Attributes:
        rows: Lines of the file, each with ``same`` left open.
        kinds: Pairs by the kind of candidate that gave our answer.
    """

    rows: tuple[JsonObject, ...]
    kinds: dict[str, int]


def to_label(brief: Brief, workshop: Workshop, most: int, say: Callable[[str], None]) -> ToLabel:
    """Let the candidates that are quickly made answer a task's validation calls, and take what differs.

    Answers that are the same text need no judge, and so no label. Kinds take turns, so that no kind's
    mistakes are all there is.

    Args:
        brief: The task and its calls.
        workshop: What candidates are made with; what is made is gone afterwards.
        most: Pairs at most.
        say: Told what is going on.

    Raises:
        BadInput: No candidate gave an answer that differs from the teacher's.
    """
    first: dict[str, Item] = {}
    for item in brief.dataset.parts["validation"]:
        first.setdefault(item.call.session, item)
    found = _answers(brief, list(first.values()), workshop, say)
    taken: dict[str, tuple[Item, str, Answer]] = {}
    for turn in itertools.zip_longest(*found.values()):
        for pair in turn:
            if pair is not None and len(taken) < most:
                taken.setdefault(pair[0].call.session, pair)
    if not taken:
        raise BadInput(
            "No candidate gave an answer that differs from the LLM's.",
            hint="Name a model that can: train.cheaper or train.server (docs/candidates.md).",
        )
    kinds = dict.fromkeys(found, 0)
    for _, kind, _ in taken.values():
        kinds[kind] += 1
    return ToLabel(tuple(_row(item, ours) for item, _, ours in taken.values()), kinds)


def _answers(
    brief: Brief, items: Sequence[Item], workshop: Workshop, say: Callable[[str], None]
) -> dict[str, list[tuple[Item, str, Answer]]]:
    found: dict[str, list[tuple[Item, str, Answer]]] = {}
    workshop.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workshop.folder, prefix="probe-") as scratch:
        here = replace(workshop, folder=Path(scratch))
        for kind in workshop.kinds:
            if is_slow(kind):
                continue
            try:
                specialist = make(kind, brief, here)
                given = specialist.consider([TaskRequest(item.task, item.call.request) for item in items])
            except OfframpError as error:
                say(f"  {kind} not tried: {error}")
                continue
            found[kind] = [
                (item, kind, seen.answer)
                for item, seen in zip(items, given, strict=True)
                if seen.answer is not None and not same(Measure.TEXT, seen.answer, item.answer)
            ]
            say(f"  {kind} differs from the LLM's text on {len(found[kind])} of {len(items)} calls")
    return found


def _row(item: Item, ours: Answer) -> JsonObject:
    request = {name: item.call.request[name] for name in _SHOWN if name in item.call.request}
    return {"request": request, "teacher": item.answer.text, "ours": ours.text, "same": None}
