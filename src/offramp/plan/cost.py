"""Money: what the traffic costs on the LLM, what it would cost with offramp, and when that pays.

No saving is counted without what it takes: calls handed back to the teacher, audits, a device that is paid
for whether it is used or not, and training.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from offramp.plan.traffic import SECONDS_PER_DAY
from offramp.plan.words import count, percent, usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.json import JsonObject
    from offramp.plan.devices import Device
    from offramp.plan.prices import Prices
    from offramp.plan.traffic import Candidate, TaskTraffic, Traffic

DAYS = 30
UTILISATIONS = (0.2, 0.5, 1.0)
"""Shares of its time that a device may be kept busy with, for the break-even table."""

_LONGEST_PAYBACK_DAYS = 365


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What a device earns while it is kept busy for a given share of its time.

    Attributes:
        utilisation: That share.
        calls_per_month: Calls (of this mix) that keep it that busy.
        margin_per_call: USD that one call of the mix then saves, deferrals, audits and idle time paid.
        saving_per_month: The margin on all those calls.
        calls_to_repay_training: Calls after which training is repaid; None: never.
    """

    utilisation: float
    calls_per_month: int
    margin_per_call: float
    saving_per_month: float
    calls_to_repay_training: int | None


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of the given traffic for 30 days, in USD.

    Attributes:
        days: 30.
        calls: Calls in that time, all tasks.
        llm_only: Everything on the teacher.
        kept: With offramp: tasks that stay with the teacher.
        deferred: Calls that specialists hand back to the teacher.
        audits: Answered calls that the teacher is asked as well.
        billed: What providers bill for cheaper models.
        device: The devices, used or not.
        device_used: Of that, the time in use.
        with_offramp: ``kept + deferred + audits + billed + device``.
        training_once: Spent once.
        saving: ``llm_only - with_offramp``; below 0 it costs more.
        payback_days: Days until the saving has repaid training; None: never.
        utilisation: Mean share of the devices' time in use.
        dedicated_calls: Calls in 30 days from which one always-on device pays; None: at no volume that it
            can carry.
        break_even: One row per utilisation.
        worth_it: Whether there is a saving, and it repays training within a year.
        sentence: The same in words.
        prices: The prices used, in words.
    """

    days: int
    calls: int
    llm_only: float
    kept: float
    deferred: float
    audits: float
    billed: float
    device: float
    device_used: float
    with_offramp: float
    training_once: float
    saving: float
    payback_days: float | None
    utilisation: float
    dedicated_calls: int | None
    break_even: tuple[BreakEven, ...]
    worth_it: bool
    sentence: str
    prices: tuple[str, ...]

    def to_dict(self) -> JsonObject:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Totals:
    calls: float
    llm_only: float
    kept: float
    deferred: float
    audits: float
    billed: float
    busy_s: float

    @property
    def avoided(self) -> float:
        """USD that the teacher no longer costs, less what cheaper models do."""
        return self.llm_only - self.kept - self.deferred - self.audits - self.billed


def call_price(traffic: Traffic, task: TaskTraffic, prices: Prices) -> float:
    """USD of one mean call of a task on its teacher.

    Raises:
        NotFound: The teacher has no price.
    """
    return prices.price(traffic.teacher(task)).call(
        input_tokens=task.input_tokens,
        output_tokens=task.output_tokens,
        cached_input_tokens=task.cached_input_tokens,
    )


def estimate_costs(
    traffic: Traffic,
    candidates: tuple[Candidate, ...],
    seconds: Mapping[str, float],
    device: Device,
    prices: Prices,
    *,
    replicas: int = 1,
) -> Costs:
    """Work out the costs of 30 days of this traffic.

    Args:
        traffic: The observed calls; they are scaled from their window to 30 days.
        candidates: At most one per task.
        seconds: Device seconds of one call by task id, for tasks with a candidate. Every call is charged,
            a deferred one too: the specialist was asked first.
        device: What the specialists run on.
        prices: The teacher's prices.
        replicas: Devices kept running (0 where no candidate needs one).

    Raises:
        NotFound: A teacher has no price.
    """
    totals = _totals(traffic, candidates, seconds, prices)
    training = _training(candidates, device)
    device_usd = replicas * device.price_per_day() * DAYS
    saving = totals.avoided - device_usd
    payback = training / saving * DAYS if saving > 0 else None
    rows = (
        tuple(_break_even(totals, training, device, share) for share in UTILISATIONS) if totals.busy_s else ()
    )
    dedicated = _dedicated_calls(totals, device)
    worth_it = payback is not None and payback <= _LONGEST_PAYBACK_DAYS
    return Costs(
        days=DAYS,
        calls=round(totals.calls),
        llm_only=totals.llm_only,
        kept=totals.kept,
        deferred=totals.deferred,
        audits=totals.audits,
        billed=totals.billed,
        device=device_usd,
        device_used=totals.busy_s * device.price_per_hour / 3600,
        with_offramp=totals.llm_only - saving,
        training_once=training,
        saving=saving,
        payback_days=payback,
        utilisation=totals.busy_s / (replicas * DAYS * SECONDS_PER_DAY) if replicas else 0.0,
        dedicated_calls=dedicated,
        break_even=rows,
        worth_it=worth_it,
        sentence=_sentence(totals, saving=saving, payback=payback, dedicated=dedicated, device=device.name),
        prices=_price_notes(traffic, prices),
    )


def _totals(
    traffic: Traffic, candidates: tuple[Candidate, ...], seconds: Mapping[str, float], prices: Prices
) -> _Totals:
    by_task = {candidate.task: candidate for candidate in candidates}
    scale = DAYS / traffic.days
    llm_only = kept = deferred = audits = billed = busy_s = 0.0
    for task in traffic.tasks:
        calls = task.calls * scale
        price = call_price(traffic, task, prices)
        llm_only += calls * price
        candidate = by_task.get(task.task)
        if candidate is None:
            kept += calls * price
            continue
        deferred += calls * (1 - candidate.coverage) * price
        audits += calls * candidate.coverage * candidate.audit_share * price
        billed += calls * candidate.usd_per_call
        busy_s += calls * seconds[task.task]
    return _Totals(traffic.calls * scale, llm_only, kept, deferred, audits, billed, busy_s)


def _training(candidates: tuple[Candidate, ...], device: Device) -> float:
    once = {candidate.specialist: candidate for candidate in candidates}
    return sum(c.training_seconds * device.price_per_hour / 3600 + c.training_usd for c in once.values())


def _break_even(totals: _Totals, training: float, device: Device, utilisation: float) -> BreakEven:
    seconds_per_call = totals.busy_s / totals.calls
    device_usd = seconds_per_call * device.price_per_hour / 3600 / utilisation
    margin = totals.avoided / totals.calls - device_usd
    calls_per_month = int(utilisation * DAYS * SECONDS_PER_DAY / seconds_per_call)
    return BreakEven(
        utilisation=utilisation,
        calls_per_month=calls_per_month,
        margin_per_call=margin,
        saving_per_month=margin * calls_per_month,
        calls_to_repay_training=math.ceil(training / margin) if margin > 0 else None,
    )


def _dedicated_calls(totals: _Totals, device: Device) -> int | None:
    if totals.avoided <= 0 or totals.calls <= 0:
        return None
    calls = math.ceil(device.price_per_day() * DAYS / (totals.avoided / totals.calls))
    seconds_per_call = totals.busy_s / totals.calls
    return calls if calls * seconds_per_call <= device.utilisation_cap * DAYS * SECONDS_PER_DAY else None


def _sentence(
    totals: _Totals, *, saving: float, payback: float | None, dedicated: int | None, device: str
) -> str:
    volume = f"{count(totals.calls)} calls in {DAYS} days"
    if totals.llm_only - totals.kept <= 0:
        return f"Nothing to save yet: no task has a certified specialist, and {volume} stay with the LLM."
    if dedicated is None:
        pays = f"one {device} kept running does not pay for itself at any volume it can carry"
    else:
        pays = f"one {device} kept running pays for itself from {count(dedicated)} calls in {DAYS} days"
    if payback is None:
        return f"Not worth it at {volume}: it would cost {usd(-saving)} more than the LLM alone; {pays}."
    if payback > _LONGEST_PAYBACK_DAYS:
        return f"Not worth it at {volume}: training would take {_days(payback)} to repay; {pays}."
    part = saving / totals.llm_only
    return (
        f"Worth it at {volume}: {usd(saving)} of {usd(totals.llm_only)} saved ({percent(part)}), "
        f"training repaid after {_days(payback)}; {pays}."
    )


def _days(days: float) -> str:
    whole = max(1, math.ceil(days))
    return "1 day" if whole == 1 else f"{count(whole)} days"


def _price_notes(traffic: Traffic, prices: Prices) -> tuple[str, ...]:
    notes = []
    for model in sorted({traffic.teacher(task) for task in traffic.tasks}):
        price = prices.price(model)
        read = f", read {price.date}" if price.date else ""
        notes.append(
            f"{model}: {price.input:g} USD in, {price.cached_input:g} cached, {price.output:g} out "
            f"per 1M tokens{read} ({price.source or prices.where})"
        )
    return tuple(notes)
