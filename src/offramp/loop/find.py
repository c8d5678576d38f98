"""The first stage on its own: from recorded calls to tasks. It loads nothing that trains."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from offramp.certify.agreement import same
from offramp.certify.ceiling import self_agreement
from offramp.core.call import answer_of
from offramp.core.errors import BadInput, NotFound
from offramp.core.measure import Measure, Measures
from offramp.discover.assign import Assigner
from offramp.discover.discover import discover
from offramp.discover.identity import Memory
from offramp.discover.verdict import judge
from offramp.loop import demand, state, traffic
from offramp.loop.ceiling import with_itself
from offramp.plan.prices import load_prices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from offramp.core.call import Call
    from offramp.core.task import Task
    from offramp.discover.discover import Discovery
    from offramp.loop.ceiling import Said
    from offramp.plan.prices import Prices
    from offramp.storage.port import Store

    Say = Callable[[str], None]


@dataclass(slots=True)
class Stages:
    """Seconds by stage, in order.

    Attributes:
        seconds: Wall-clock seconds.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, stage: str, started: float) -> None:
        """Add the time since ``started`` (of ``time.perf_counter``) to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


def find_tasks(
    store: Store,
    stages: Stages,
    say: Say,
    *,
    days: float | None = None,
    prices: Prices | None = None,
    measures: Measures = Measures(),  # noqa: B008 - frozen
) -> tuple[list[Call], Discovery]:
    """Discover the tasks in the recorded calls and save them.

    Args:
        store: Holds the calls, takes the tasks.
        stages: Takes the seconds.
        say: Told what is going on.
        days: Days that the traffic stands for, where the calls' own times do not tell (a replay).
        prices: What the teachers cost; the bundled prices where not given.
        measures: In which sense answers are compared.

    Raises:
        BadInput: No calls are recorded.
    """
    started = time.perf_counter()
    calls = list(store.calls())
    stages.timed("read", started)
    return find_in(calls, store, stages, say, days=days, prices=prices, measures=measures)


def find_in(
    calls: Sequence[Call],
    store: Store,
    stages: Stages,
    say: Say,
    *,
    days: float | None = None,
    prices: Prices | None = None,
    measures: Measures = Measures(),  # noqa: B008 - frozen
) -> tuple[list[Call], Discovery]:
    """Discover the tasks in given calls and save them; the calls themselves go nowhere.

    Args:
        calls: The calls.
        store: Takes the tasks, and may hold those of the last discovery.
        stages: Takes the seconds.
        say: Told what is going on.
        days: Days that the traffic stands for, where the calls' own times do not tell.
        prices: What the teachers cost; the bundled prices where not given.
        measures: In which sense answers are compared.

    Returns:
        The calls that the teacher answered, and what was found in them.

    Raises:
        BadInput: There are none.
    """
    started = time.perf_counter()
    # What specialists answered is not the teacher's word and teaches nothing.
    taught = [call for call in calls if call.route == "teacher"]
    if not taught:
        raise BadInput(
            "No calls are recorded yet.",
            hint="Send traffic through `offramp serve`, or `offramp import LOGS`.",
        )
    price = _price(prices or load_prices())
    found = discover(taught, previous=_previous(store), price=price, measures=measures)
    discovery = _with_consent(_with_repeats(found, taught), taught)
    state.save_tasks(
        store,
        discovery.tasks,
        discovery.assigner.to_dict(),
        memory=discovery.memory.to_dict(),
        changes=discovery.changes,
    )
    traffic.save(store, traffic.measure(taught, discovery.assignment, days=days))
    demand.save(store, demand.measure(calls, _assigned(calls, discovery), days=days))
    stages.timed("discover", started)
    convertible = sum(task.convertible for task in discovery.tasks)
    say(f"Found {len(discovery.tasks)} tasks in {len(taught)} calls; {convertible} are convertible.")
    for name in sorted(measures.tasks.keys() - _names(discovery.tasks)):
        say(f"The settings choose a measure of agreement for {name!r}, which is none of these tasks.")
    return taught, discovery


def _assigned(calls: Sequence[Call], discovery: Discovery) -> dict[str, str]:
    """Return the task of every call, of those that specialists answered too."""
    answered = {
        call.id: discovery.assigner.assign(call.request) or "" for call in calls if call.route != "teacher"
    }
    return {**discovery.assignment, **answered}


def _names(tasks: Iterable[Task]) -> set[str]:
    return {name for task in tasks for name in task.names}


def _previous(store: Store) -> Memory | None:
    """Read what the last discovery left; None where there was none, or another offramp's."""
    memory, assigner = state.load_memory(store), state.load_assigner(store)
    if memory is None or assigner is None:
        return None
    return Memory.from_dict(memory, Assigner.from_dict(assigner))


def _price(prices: Prices) -> Callable[[Call], float]:
    """USD of a call; a model without a price, and a call whose tokens nobody counted, cost nothing."""

    def usd(call: Call) -> float:
        try:
            price = prices.price(str(call.request.get("model") or ""))
        except NotFound:
            return 0.0
        usage = call.usage
        return price.call(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)

    return usd


def _with_repeats(discovery: Discovery, calls: Sequence[Call]) -> Discovery:
    """Tell how often the teacher agreed with itself about each task, in the sense of the task."""
    wanted = {call for questions in discovery.repeated.values() for asked in questions for call in asked}
    held = {call.id: call for call in calls if call.id in wanted}
    tasks = [_repeated(task, discovery.repeated[task.id], held) for task in discovery.tasks]
    return replace(discovery, tasks=tuple(tasks))


def _repeated(task: Task, questions: Sequence[Sequence[str]], held: Mapping[str, Call]) -> Task:
    said = [[(held[call].request, answer_of(held[call].response)) for call in asked] for asked in questions]
    answered = [[(request, answer) for request, answer in one if answer is not None] for one in said]
    if task.measure in {None, Measure.JUDGE}:
        # Discovery asks nobody: what only a judge could compare counts where it is the same text.
        found = self_agreement(answered, _alike)
    else:
        found = with_itself(task.output, answered, task.measure)
    if not found.requests:
        return task
    profile = replace(task.profile, repeats=found.requests, self_agreement=found.share)
    if found.known:
        profile = replace(profile, saving_usd=profile.saving_usd * found.share)
    return replace(task, profile=profile)


def _alike(pairs: Sequence[tuple[Said, Said]]) -> list[bool]:
    return [one == other or same(Measure.TEXT, one, other) for (_, one), (_, other) in pairs]


def _with_consent(discovery: Discovery, calls: Sequence[Call]) -> Discovery:
    """Judge each task by the calls that may be trained on; the others are seen, counted and not learned."""
    if all(call.trainable for call in calls):
        return discovery
    caught: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        caught[discovery.assignment.get(call.id, "")].append(call)
    return replace(discovery, tasks=tuple(_judged(task, caught[task.id]) for task in discovery.tasks))


def _judged(task: Task, calls: Sequence[Call]) -> Task:
    allowed = [call for call in calls if call.trainable]
    withheld = len(calls) - len(allowed)
    if not withheld or not task.convertible:
        return task
    if not allowed:
        reason = f"None of its {len(calls)} calls may be trained on: neither upstream nor key allows it."
        return replace(task, convertible=False, reason=reason)
    sessions = len({call.session or call.id for call in allowed})
    verdict = judge(allowed, sessions, lambda _: task.measure)
    reason = f"{verdict.reason} {withheld} of its {len(calls)} calls may not be trained on."
    return replace(task, convertible=verdict.convertible and verdict.output is task.output, reason=reason)
