"""What a night leaves behind in the store, and how the other commands read it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from offramp.core.deployment import Deployment
from offramp.core.errors import NotFound
from offramp.core.json import canonical
from offramp.core.measure import Measures
from offramp.core.task import Change, Task
from offramp.loop.staleness import why_stale

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from offramp.core.json import JsonObject
    from offramp.loop.night import Conversion
    from offramp.storage.port import Store

TASK, CONVERSION, DEPLOYMENT, CONFIDENCE, RUN = "task", "conversion", "deployment", "confidence", "run"
RETRAIN = "retrain"
"""Kind of the marks of specialists that were fitted on calls which have been erased since."""


CHANGES_KEPT = 100
"""Discoveries whose changes are remembered."""


def save_tasks(
    store: Store,
    tasks: Iterable[Task],
    assigner: JsonObject,
    *,
    memory: JsonObject | None = None,
    changes: Sequence[Change] = (),
) -> None:
    """Replace the discovered tasks and the rules that assign calls to them.

    Args:
        store: Where they go.
        tasks: The tasks.
        assigner: The rules.
        memory: What the next discovery needs to keep the ids.
        changes: What happened to the tasks of the last discovery; added to what happened before.
    """
    for key in store.documents(TASK):
        store.delete(TASK, key)
    for task in tasks:
        store.put(TASK, task.id, asdict(task))
    store.put(RUN, "assigner", assigner)
    if memory is not None:
        store.put(RUN, "memory", memory)
    if changes:
        listed = [[asdict(change) for change in night] for night in (*load_changes(store), changes)]
        store.put(RUN, "changes", {"discoveries": listed[-CHANGES_KEPT:]})


def load_tasks(store: Store) -> list[Task]:
    """Read the discovered tasks, most calls first."""
    tasks = [Task.from_dict(value) for value in store.documents(TASK).values()]
    return sorted(tasks, key=lambda task: (-task.calls, task.id))


def load_assigner(store: Store) -> JsonObject | None:
    """Read the rules that assign calls to tasks, None before the first discovery."""
    return store.get(RUN, "assigner")


def load_memory(store: Store) -> JsonObject | None:
    """Read what the last discovery left for the next one, None before the first."""
    return store.get(RUN, "memory")


def load_changes(store: Store) -> list[tuple[Change, ...]]:
    """Read what happened to the tasks, discovery by discovery, oldest first; those without are left out."""
    stored = store.get(RUN, "changes") or {"discoveries": []}
    return [tuple(Change.from_dict(change) for change in night) for night in stored["discoveries"]]


def begin_round(store: Store, round_: int) -> None:
    """Count a round of certifying; before calibration calls are looked at, whatever becomes of it.

    A look that an interruption lets go uncounted would be a free one: whoever knows what calibration calls
    say could try again at the same delta.
    """
    store.put(RUN, "rounds", {"n": max(round_, rounds(store))})


def rounds(store: Store) -> int:
    """Return how many times calibration calls were looked at."""
    return int((store.get(RUN, "rounds") or {"n": 0})["n"])


def save_conversions(store: Store, conversions: Sequence[Conversion], *, partial: bool = False) -> None:
    """Write what a night found, and the confidence of every certified specialist.

    Nothing goes live by this: see `promote`.

    Args:
        store: Where it goes.
        conversions: One for each unit.
        partial: Whether these are some of the units only; conversions of other tasks stay then.
    """
    for conversion in conversions:
        if conversion.certified and conversion.confidence is not None:
            _keep_apart(store, conversion)
            store.put(CONFIDENCE, conversion.specialist, conversion.confidence.to_dict())
        store.put(CONVERSION, unit_key(conversion), encode(conversion))
    written = {unit_key(conversion) for conversion in conversions}
    tasks = {task.id for conversion in conversions for task in conversion.unit.tasks}
    for key, value in store.documents(CONVERSION).items():
        if key not in written and not (partial and tasks.isdisjoint(value["tasks"])):
            store.delete(CONVERSION, key)


def _keep_apart(store: Store, conversion: Conversion) -> None:
    """Take out what is live with another confidence: its threshold was certified on that one alone.

    Losses, and so confidences, are the same in every night, but for a judge that was not reached for a pair.
    """
    before = store.get(CONFIDENCE, conversion.specialist)
    assert conversion.confidence is not None
    judged = conversion.certificate is not None and conversion.certificate.judge_missed > 0.0
    if judged and before is not None and canonical(before) != canonical(conversion.confidence.to_dict()):
        store.delete(DEPLOYMENT, conversion.specialist)


def encode(conversion: Conversion) -> JsonObject:
    """Render a conversion as a JSON object."""
    certificate = conversion.certificate
    return {
        "name": conversion.unit.name,
        "tasks": [task.id for task in conversion.unit.tasks],
        "output": conversion.unit.output.value,
        "chosen": asdict(conversion.chosen),
        "trials": [asdict(trial) for trial in conversion.trials],
        "specialist": conversion.specialist,
        "certificate": None if certificate is None else asdict(certificate),
        "certified": conversion.certified,
        "card": conversion.card,
        "reliability": list(conversion.reliability),
        "curve": list(conversion.curve),
        "seconds": conversion.seconds,
        "seconds_per_call": conversion.seconds_per_call,
        "fields": conversion.fields,
    }


def unit_key(conversion: Conversion) -> str:
    """Return the key of a unit's document: its first task's id."""
    return min(task.id for task in conversion.unit.tasks)


def promote(
    store: Store,
    task: str | None = None,
    *,
    measures: Measures = Measures(),  # noqa: B008 - frozen
) -> list[Deployment]:
    """Put certified specialists live.

    Args:
        store: Where conversions and deployments are.
        task: Id of one task whose specialist is meant; all certified ones where not given.
        measures: In which sense answers are compared now; what was certified in another stays out.

    Raises:
        NotFound: No certified specialist serves that task, it has to be trained again, or its certificate is
            stale.
    """
    deployed = []
    marked, stale = marked_for_retraining(store), stale_certificates(store, measures)
    for value in store.documents(CONVERSION).values():
        if value["specialist"] in marked or value["specialist"] in stale:
            continue
        if value["certified"] and (task is None or task in value["tasks"]):
            deployment = deployment_of(value)
            store.put(DEPLOYMENT, deployment.specialist, deployment.to_dict())
            deployed.append(deployment)
    if task is not None and not deployed:
        serving = {
            value["specialist"] for value in store.documents(CONVERSION).values() if task in value["tasks"]
        }
        why = "".join(f" {name} was {reason}." for name, reason in stale.items() if name in serving)
        raise NotFound(
            f"No certified specialist serves task {task!r}.{why}",
            hint="`offramp tasks` and `offramp convert` tell.",
        )
    return deployed


def stale_certificates(store: Store, measures: Measures) -> dict[str, str]:
    """Tell which certified specialists the settings compare in another sense now, and in which."""
    tasks = {task.id: task for task in load_tasks(store)}
    found = {}
    for value in store.documents(CONVERSION).values():
        if value["certified"] and (reason := why_stale(deployment_of(value), tasks, measures)):
            found[str(value["specialist"])] = reason
    return found


def deployment_of(conversion: JsonObject) -> Deployment:
    """Make a deployment of a stored, certified conversion; deferred members stay with the teacher."""
    certificate = conversion["certificate"]
    deferred = {member["task"] for member in certificate["members"] if member["deferred"]}
    # Certificates of earlier versions held nobody to a stricter threshold.
    floors = {member["task"]: member.get("floor", 0.0) for member in certificate["members"]}
    return Deployment(
        specialist=conversion["specialist"],
        tasks=tuple(task for task in conversion["tasks"] if task not in deferred),
        threshold=certificate["threshold"],
        alpha=certificate["alpha"],
        delta=certificate["delta"],
        scope=certificate["scope"],
        mix=certificate["mix"],
        mix_tolerance=certificate["mix_tolerance"],
        floors={
            task: floor
            for task, floor in floors.items()
            if task not in deferred and floor > certificate["threshold"]
        },
        output=conversion.get("output", ""),
        # What earlier versions certified was all in the form's own sense.
        measure=certificate.get("measure", ""),
        judge_missed=certificate.get("judge_missed", 0.0),
    )


def deployments(store: Store) -> list[Deployment]:
    """Read what is live."""
    return [Deployment.from_dict(value) for value in store.documents(DEPLOYMENT).values()]


def roll_back(store: Store, wanted: str) -> list[Deployment]:
    """Take a specialist out, by its id or by a task's.

    Raises:
        NotFound: Nothing of that name is live.
    """
    live = deployments(store)
    out = [deployment for deployment in live if wanted == deployment.specialist or wanted in deployment.tasks]
    if not out:
        names = ", ".join(deployment.specialist for deployment in live) or "nothing is live"
        raise NotFound(f"Nothing live is called {wanted!r}; live: {names}.", hint="`offramp status` tells.")
    for deployment in out:
        store.delete(DEPLOYMENT, deployment.specialist)
    return out


def mark_for_retraining(store: Store, specialist: str, reason: str) -> None:
    """Note that a specialist was fitted on erased calls; it serves on, and is not promoted again."""
    store.put(RETRAIN, specialist, {"reason": reason})


def marked_for_retraining(store: Store) -> dict[str, str]:
    """Read which specialists have to be trained again, with the reason."""
    return {specialist: str(value["reason"]) for specialist, value in store.documents(RETRAIN).items()}


def retire(store: Store, specialist: str, reason: str) -> bool:
    """Take a specialist out for good; its folder is the caller's to remove.

    Returns:
        Whether it was live.
    """
    live = store.get(DEPLOYMENT, specialist) is not None
    for kind in (DEPLOYMENT, CONFIDENCE, RETRAIN):
        store.delete(kind, specialist)
    for key, value in store.documents(CONVERSION).items():
        if value["specialist"] == specialist:
            certificate = value["certificate"] and {**value["certificate"], "reason": reason}
            store.put(CONVERSION, key, {**value, "certified": False, "certificate": certificate})
    return live
