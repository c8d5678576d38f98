"""What the traffic costs, what the certified specialists would save of it, and where they would run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.models import base_shape
from offramp.core.errors import NotFound
from offramp.loop import state, traffic
from offramp.plan.cost import call_price
from offramp.plan.devices import find_device
from offramp.plan.plan import plan
from offramp.plan.prices import ModelPrice, load_prices
from offramp.plan.traffic import Candidate

if TYPE_CHECKING:
    from offramp.config import Settings
    from offramp.core.json import JsonObject
    from offramp.plan.plan import Plan
    from offramp.plan.prices import Prices
    from offramp.plan.traffic import Traffic
    from offramp.storage.port import Store

# The bundled encoder in single precision; tokens of a call on the nano base.
_ENCODER_BYTES = 91_000_000
PROMPT_TOKENS = 40
COMPLETION_TOKENS = 24

_PRICES_HINT = (
    'Put them into a prices file: {"models": {"NAME": {"input": USD, "output": USD}}}, per 1M tokens.'
)


def prices_of(settings: Settings) -> Prices:
    """Read the bundled prices, with the user's over them."""
    return load_prices(Path(settings.plan.prices) if settings.plan.prices else None)


def cost_shares(store: Store, settings: Settings) -> tuple[dict[str, float], tuple[str, ...]]:
    """Work out which share of the teacher's bill each task is.

    Returns:
        Shares by task id, none where no model has a price; and the models without one.
    """
    measured = traffic.load(store)
    if measured is None:
        return {}, ()
    prices, unpriced = known_prices(measured, settings)
    cost = {task.task: task.calls * call_price(measured, task, prices) for task in measured.tasks}
    total = sum(cost.values())
    return ({task: part / total for task, part in cost.items()} if total else {}), unpriced


def known_prices(measured: Traffic, settings: Settings) -> tuple[Prices, tuple[str, ...]]:
    """Read the prices; models without one count as free, which understates bill and saving alike."""
    prices = prices_of(settings)
    unpriced = []
    for model in sorted({measured.teacher(task) for task in measured.tasks}):
        try:
            prices.price(model)
        except NotFound:
            unpriced.append(model)
    free = {
        model: ModelPrice(0.0, 0.0, 0.0, source="no price is known: counted as free") for model in unpriced
    }
    return replace(prices, models={**prices.models, **free}), tuple(unpriced)


def planned_on(
    store: Store, settings: Settings, unpriced: tuple[str, ...]
) -> tuple[Plan | None, tuple[str, ...]]:
    """Plan on the configured device, as far as prices are known: a missing one costs nobody everything else.

    Returns:
        The plan, None before the first discovery and where no price at all is known; and notes on prices.
    """
    measured = traffic.load(store)
    if measured is None:
        return None, ()
    names = ", ".join(model or "(none named)" for model in unpriced)
    if {measured.teacher(task) for task in measured.tasks} <= set(unpriced):
        return None, (f"No costs: no price is known for {names}. {_PRICES_HINT}",)
    planned = _plan(store, settings, measured, known_prices(measured, settings)[0])
    note = f"Calls of {names} count as free: no price is known. {_PRICES_HINT}"
    return planned, (note,) if unpriced else ()


def make_plan(store: Store, settings: Settings, device: str | None = None) -> Plan | None:
    """Plan the certified specialists on the configured device; None before the first discovery."""
    measured = traffic.load(store)
    if measured is None:
        return None
    prices = prices_of(settings)
    return _plan(store, settings, measured, prices, device)


def _plan(
    store: Store, settings: Settings, measured: Traffic, prices: Prices, device: str | None = None
) -> Plan:
    candidates = tuple(
        candidate
        for conversion in store.documents(state.CONVERSION).values()
        if conversion["certified"]
        for candidate in _candidates(conversion, settings, {task.task for task in measured.tasks})
    )
    return plan(measured, candidates, find_device(device or settings.plan.device), prices)


def _candidates(conversion: JsonObject, settings: Settings, known: set[str]) -> list[Candidate]:
    certificate = conversion["certificate"]
    kind = conversion["chosen"]["kind"]
    folder = settings.specialists_path / conversion["specialist"]
    lora, hosted = kind == "lora", kind == "cheaper"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return [
        Candidate(
            task=member["task"],
            specialist=conversion["specialist"],
            kind=kind,
            coverage=member["answered"] / member["n"] if member["n"] else 0.0,
            audit_share=settings.certify.audit_rate,
            base=base_shape(settings) if lora else None,
            rank=rank_of(folder) if lora else 0,
            prompt_tokens=PROMPT_TOKENS if lora else None,
            completion_tokens=COMPLETION_TOKENS if lora else None,
            # A provider's model takes no time of the device, and bills each call.
            seconds_per_call=0.0 if hosted else conversion["seconds_per_call"],
            memory_bytes=0 if hosted else size + _ENCODER_BYTES,
            usd_per_call=conversion["chosen"]["usd_per_1000"] / 1000 if hosted else 0.0,
            training_seconds=conversion["seconds"].get("train", 0.0),
        )
        for member in certificate["members"]
        if member["task"] in known and not member["deferred"]
    ]


def rank_of(folder: Path) -> int:
    """Return the rank of a specialist's adapter; 0 for a model that was fully fine-tuned."""
    file = folder / "adapter" / "adapter_config.json"
    return int(json.loads(file.read_text())["r"]) if file.is_file() else 0
