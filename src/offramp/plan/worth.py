"""When a fleet pays: what it saves at 20, 50 and 100 % of what it carries, and what else would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.plan.cost import UTILISATIONS
from offramp.plan.words import count, percent, usd

if TYPE_CHECKING:
    from offramp.plan.demand import Demand
    from offramp.plan.groups import Chosen

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class FleetBreakEven:
    """A fleet at a share of what it carries.

    Attributes:
        utilisation: That share, of the calls of the busiest window, around the clock.
        calls_per_hour: Calls that the fleet answers then.
        saved_usd: USD an hour that those would cost on the LLM.
        cheaper_usd: USD an hour that they would cost on a cheaper model; None where no price is known.
        margin_usd: What is saved, less what the devices cost, used or not.
    """

    utilisation: float
    calls_per_hour: float
    saved_usd: float
    cheaper_usd: float | None
    margin_usd: float

    @property
    def verdict(self) -> str:
        """What pays best, in words."""
        cheaper = None if self.cheaper_usd is None else self.saved_usd - self.cheaper_usd
        if max(self.margin_usd, cheaper or 0.0) <= 0.0:
            return "not worth it"
        if cheaper is not None and cheaper >= self.margin_usd:
            return f"the cheaper model saves more ({usd(cheaper)})"
        return "worth it"


def break_even(
    demand: Demand, chosen: Chosen, devices_usd: float, *, own_llm: bool
) -> tuple[FleetBreakEven, ...]:
    """Work out one row for each share of `offramp.plan.cost.UTILISATIONS`.

    Args:
        demand: The calls.
        chosen: Who answers each task.
        devices_usd: USD an hour for devices.
        own_llm: Whether the LLM is among what they carry, so that the fleet answers every call.
    """
    answered = [
        (task, 1.0 if own_llm else choice.taken_off if choice is not None else 0.0)
        for task in demand.tasks
        for choice in (chosen.get(task.task),)
    ]
    answered = [(task, share) for task, share in answered if share > 0.0]
    if not answered or not devices_usd:
        return ()
    busiest = max(range(demand.windows), key=lambda one: sum(task.rates[one] for task, _ in answered))
    calls = [(task, SECONDS_PER_HOUR * task.rates[busiest] * share) for task, share in answered]
    known = all(task.cheaper_usd for task, _ in answered)
    rows = []
    for utilisation in UTILISATIONS:
        saved = utilisation * sum(number * task.llm_usd for task, number in calls)
        cheaper = utilisation * sum(number * task.cheaper_usd for task, number in calls)
        rows.append(
            FleetBreakEven(
                utilisation=utilisation,
                calls_per_hour=utilisation * sum(number for _, number in calls),
                saved_usd=saved,
                cheaper_usd=cheaper if known else None,
                margin_usd=saved - devices_usd,
            )
        )
    return tuple(rows)


def sentence(row: FleetBreakEven) -> str:
    """Say one row in words."""
    cheaper = "" if row.cheaper_usd is None else f", {usd(row.cheaper_usd)} on the cheaper model"
    return (
        f"at {percent(row.utilisation)} of what it carries: {count(row.calls_per_hour)} calls an hour, "
        f"{usd(row.saved_usd)} on the LLM{cheaper}; {usd(row.margin_usd)} an hour left: {row.verdict}"
    )
