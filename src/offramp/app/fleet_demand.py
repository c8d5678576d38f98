"""The demand of a store: measured calls, and the certified specialists that could answer them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.app.money import COMPLETION_TOKENS, PROMPT_TOKENS, known_prices, rank_of
from offramp.config.settings import ASSETS
from offramp.core.errors import NotFound
from offramp.loop import demand as measured_demand
from offramp.loop import state, traffic
from offramp.plan.cost import call_price
from offramp.plan.demand import Choice, Demand, Length, TaskDemand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.config import Settings
    from offramp.core.json import JsonObject
    from offramp.plan.prices import Prices
    from offramp.plan.traffic import Traffic
    from offramp.storage.port import Store

UNMEASURED_S = 10.0
"""Seconds that are allowed where the teacher's own latency was not recorded."""
_NANO = str(ASSETS / "nano")


def demand_of(
    store: Store, settings: Settings, *, objective_s: float | None = None
) -> tuple[Demand, tuple[str, ...]]:
    """Read the demand of recorded calls.

    A specialist may take as long as the teacher does today: its 95th percentile.

    Args:
        store: Holds what the last discovery measured, and what nights certified.
        settings: Prices, the base, the share of audits.
        objective_s: Seconds that a call of any task may take, in place of the teacher's.

    Returns:
        The demand, and what of the store is not in it, in words.

    Raises:
        NotFound: No calls have been measured.
    """
    measured, totals = measured_demand.load(store), traffic.load(store)
    if measured is None or totals is None:
        raise NotFound(
            "There are no measured calls to plan for yet.",
            hint="Run `offramp tasks` after recording, or name a demand with --demand FILE.",
        )
    prices, unpriced = known_prices(totals, settings)
    usd = {task.task: call_price(totals, task, prices) for task in totals.tasks}
    cheaper = _cheaper_usd(totals, prices, settings.train.cheaper)
    choices, beside = _choices(store, settings)
    tasks = tuple(
        _task(task, facts, choices.get(task, ()), (usd.get(task, 0.0), cheaper.get(task, 0.0)), objective_s)
        for task, facts in sorted(measured["tasks"].items())
    )
    notes = [f"no price is known for {', '.join(unpriced)}: its calls count as free"] if unpriced else []
    if beside:
        notes.append(f"{beside} certified specialists run beside the gateway and need none of these devices")
    return Demand(tasks, float(measured["window_s"])), tuple(notes)


def _task(
    task: str,
    facts: JsonObject,
    choices: tuple[Choice, ...],
    usd: tuple[float, float],
    objective_s: float | None,
) -> TaskDemand:
    return TaskDemand(
        task=task or "(no task)",
        rates=tuple(facts["rates"]),
        lengths=tuple(Length(*row) for row in facts["lengths"]),
        objective_s=objective_s or facts["teacher_s"] or UNMEASURED_S,
        choices=choices,
        burst=facts["burst"],
        llm_usd=usd[0],
        cheaper_usd=usd[1],
    )


def _cheaper_usd(totals: Traffic, prices: Prices, model: str) -> dict[str, float]:
    """USD of a task's mean call on a cheaper model; nothing where none is named or its price is unknown."""
    try:
        prices.price(model)
    except NotFound:
        return {}
    alike = replace(totals, model=model, tasks=tuple(replace(task, model=model) for task in totals.tasks))
    return {task.task: call_price(alike, task, prices) for task in alike.tasks}


def _choices(store: Store, settings: Settings) -> tuple[dict[str, tuple[Choice, ...]], int]:
    """Return the certified specialists on a base by task, and how many others there are."""
    found: dict[str, tuple[Choice, ...]] = {}
    beside = 0
    for conversion in store.documents(state.CONVERSION).values():
        if not conversion["certified"]:
            continue
        if conversion["chosen"]["kind"] != "lora":
            beside += conversion["chosen"]["kind"] != "cheaper"
            continue
        for task, choice in _of(conversion, settings):
            found[task] = (*found.get(task, ()), choice)
    return found, beside


def _of(conversion: JsonObject, settings: Settings) -> Iterator[tuple[str, Choice]]:
    rank = rank_of(settings.specialists_path / conversion["specialist"])
    # The bundled base reads a short text made of the call, other bases the call itself.
    own = (Length(PROMPT_TOKENS, COMPLETION_TOKENS, 1.0),) if settings.train.base == _NANO else ()
    for member in conversion["certificate"]["members"]:
        if not member["deferred"] and member["n"]:
            yield (
                member["task"],
                Choice(
                    specialist=conversion["specialist"],
                    # All weights of its own are a base of its own.
                    base=settings.train.base
                    if rank
                    else str(settings.specialists_path / conversion["specialist"]),
                    rank=rank,
                    coverage=member["answered"] / member["n"],
                    audit_share=settings.certify.audit_rate,
                    lengths=own,
                ),
            )
