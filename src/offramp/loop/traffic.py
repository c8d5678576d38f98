"""The measured traffic of each task, as the plan wants it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.loop.state import RUN
from offramp.plan.traffic import TaskTraffic, Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.call import Call
    from offramp.core.json import JsonObject
    from offramp.storage.port import Store

DAY_S = 86_400.0
LEAST_DAYS = 1 / 24


@dataclass(slots=True)
class _Sums:
    calls: int = 0
    prompt: int = 0
    completion: int = 0


def measure(calls: Sequence[Call], assignment: Mapping[str, str], *, days: float | None = None) -> JsonObject:
    """Sum up calls and tokens by task and model.

    Args:
        calls: The recorded calls.
        assignment: Task id by call id; the others count as task "".
        days: Length of the window; from the calls' times where not given (an hour at least).
    """
    sums: dict[str, _Sums] = defaultdict(_Sums)
    models: dict[str, Counter[str]] = defaultdict(Counter)
    for call in calls:
        task = assignment.get(call.id, "")
        found = sums[task]
        found.calls += 1
        found.prompt += call.usage.prompt_tokens
        found.completion += call.usage.completion_tokens
        models[task][str(call.request.get("model") or "")] += 1
    span = (max(call.at for call in calls) - min(call.at for call in calls)) / DAY_S
    return {
        "days": days if days is not None else max(span, LEAST_DAYS),
        "tasks": {
            task: {
                "calls": found.calls,
                "input_tokens": found.prompt / found.calls,
                "output_tokens": found.completion / found.calls,
                "model": models[task].most_common(1)[0][0],
            }
            for task, found in sums.items()
        },
    }


def save(store: Store, measured: JsonObject) -> None:
    """Keep measured traffic beside the tasks."""
    store.put(RUN, "traffic", measured)


def load(store: Store) -> Traffic | None:
    """Read measured traffic, None before the first discovery."""
    value = store.get(RUN, "traffic")
    if value is None:
        return None
    tasks = tuple(TaskTraffic(task=task, **facts) for task, facts in value["tasks"].items())
    largest = max(tasks, key=lambda task: task.calls)
    return Traffic(model=largest.model, days=value["days"], tasks=tasks)
