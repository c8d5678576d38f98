"""Why a plan is as it is, in words: what binds, and what was passed over."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.plan.groups import groups_of
from offramp.plan.sizing import Part, size
from offramp.plan.words import percent, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.plan.choose import Chooser, Packed
    from offramp.plan.demand import Choice, TaskDemand
    from offramp.plan.pack import Room

_FOREVER = 1e9


def binding_of(chooser: Chooser, packed: Packed) -> tuple[str, tuple[str, ...]]:
    """Say what decides how many devices it takes, and what else there is to know."""
    notes = [note for task in chooser.demand.tasks if (note := _hopeless(chooser, task))]
    short = [
        f"{stock.device.name}: all {stock.count} are used"
        for stock in chooser.fleet.stocks
        if stock.count is not None and stock.count == _count(packed.rooms, stock.device.name) > 0
    ]
    if not chooser.fleet.llm and not any(task.llm_usd for task in chooser.demand.tasks):
        notes.append(
            "no price of the LLM is known: as many calls as fit are taken off it, whatever that costs"
        )
    if not packed.rooms:
        able = any(chooser.able(task) for task in chooser.demand.tasks)
        if able:
            return "money: no device costs less than the calls it would take off the LLM", tuple(notes)
        return "nothing to place: no task has a specialist that keeps its objective here", tuple(notes)
    return _fullest(packed), (*short, *notes)


def _count(rooms: Sequence[Room], kind: str) -> int:
    return sum(room.stock.device.name == kind for room in rooms)


def _fullest(packed: Packed) -> str:
    """Name the resource that is fullest on the kind of device that costs most."""
    spent: dict[str, float] = defaultdict(float)
    for room in packed.rooms:
        spent[room.stock.device.name] += room.stock.device.price_per_hour
    kind = max(sorted(spent), key=lambda name: spent[name])
    rooms = [room for room in packed.rooms if room.stock.device.name == kind]
    there = sum(room.stock.memory for room in rooms)
    memory = sum(room.memory for room in rooms) / there
    items = [item for room in rooms for item in room.items]
    tightest = max(items, key=lambda item: item.way.sized.tightness).way.sized
    share = sum(room.share for room in rooms) / len(rooms)
    divided = not rooms[0].stock.sharing.bandwidth
    duty = sum(room.duty for room in rooms) / len(rooms) / packed.crowd if divided else 0.0
    where = f"{len(rooms)} {kind}"
    objective = (
        f"task {tightest.tightest!r} is predicted at {percent(tightest.tightness)} of its objective "
        f"in window {tightest.window}"
    )
    if memory >= max(tightest.tightness if share >= 1.0 else share, 0.0):
        weights = sum(item.way.sized.memory.weights for item in items) / there
        kv = sum(item.way.sized.memory.kv for item in items) / there
        return (
            f"memory: {percent(memory)} of what may be filled on {where} "
            f"(weights {percent(weights)}, KV {percent(kv)})"
        )
    alone = all(item.way.alone for item in items)
    if not alone and duty > share:
        return f"bandwidth: engines on {where} work {percent(duty)} of the time that they may; {objective}"
    return f"compute: {percent(min(share, 1.0))} of {where} is given out; {objective}"


def _hopeless(chooser: Chooser, task: TaskDemand) -> str:
    """Say why none of a task's specialists can answer it here; "" where one can, or there are none."""
    if not task.choices or chooser.able(task):
        return ""
    best: tuple[float, str, str] | None = None
    for choice in task.choices:
        seconds, kind = _quickest(chooser, task, choice)
        if best is None or seconds < best[0]:
            best = (seconds, choice.specialist, kind)
    assert best is not None
    seconds, specialist, kind = best
    if seconds >= _FOREVER:
        return f"task {task.task!r} stays with the LLM: no device here has the memory for its specialists"
    if seconds > task.objective_s:
        return (
            f"task {task.task!r} stays with the LLM: {specialist} alone takes {seconds:.2g} s on {kind}, "
            f"{task.objective_s:g} s are allowed"
        )
    return f"task {task.task!r} stays with the LLM: the fleet has too few devices for its calls"


def _quickest(chooser: Chooser, task: TaskDemand, choice: Choice) -> tuple[float, str]:
    """Return the seconds of a specialist without load on the fastest device that holds it."""
    idle = replace(task, rates=(0.0,), objective_s=_FOREVER)
    fleet = replace(chooser.fleet, llm=None)
    groups = groups_of(replace(chooser.demand, tasks=(idle,)), {task.task: choice}, fleet, chooser.shapes)
    found = [(_FOREVER, "")]
    for stock in chooser.fleet.stocks:
        sized = size(groups[0], stock, Part(), chooser.terms, chooser.speeds)
        if sized is not None and sized.memory.total <= stock.memory:
            found.append((sized.latency_s[0][1], stock.device.name))
    return min(found)


def reasons_of(chooser: Chooser, packed: Packed) -> dict[str, str]:
    """Say of each task with a better specialist than the chosen one why that was passed over."""
    now = chooser.quick(packed.picked, packed.families)
    found = {}
    for task in chooser.demand.tasks:
        chosen = packed.picked.get(task.task)
        better = next(iter(chooser.able(task)), None)
        if better is None or better == chosen or now is None:
            continue
        if chosen is not None and better.taken_off <= chosen.taken_off:
            continue
        found[task.task] = _passed_over(chooser, now, task, better, chosen)
    return found


def _passed_over(
    chooser: Chooser, now: Packed, task: TaskDemand, better: Choice, chosen: Choice | None
) -> str:
    answers = f"{better.specialist} would answer {percent(better.coverage)}"
    if chosen is not None:
        answers += f" instead of {percent(chosen.coverage)}"
    tried = chooser.quick({**now.picked, task.task: better}, now.families)
    if tried is None:
        return f"{answers}, but the fleet has no room for it"
    more = tried.devices_usd - now.devices_usd
    if chooser.fleet.llm is not None:
        return f"{answers}, but devices would cost {usd(more)} an hour more"
    saved = task.llm_usd_per_hour(chosen) - task.llm_usd_per_hour(better)
    added = len(tried.rooms) - len(now.rooms)
    if added > 0:
        dearer = f"needs {added} more device{'s' if added > 1 else ''}, {usd(more)} an hour"
    else:
        dearer = f"needs dearer devices, {usd(more)} an hour more"
    return f"{answers}, but {dearer}, and takes {usd(saved)} an hour off the LLM"
