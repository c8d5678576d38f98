"""`offramp plan`: memory, load and money on one device, or engines on a fleet of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.app.fleet import Question, make_fleet_plan
from offramp.app.money import make_plan
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.core.errors import BadInput, NotFound
from offramp.plan.devices import load_devices
from offramp.plan.picture import draw
from offramp.plan.replan import Switching
from offramp.plan.words import adapters, devices, percent, usd
from offramp.plan.worth import sentence

if TYPE_CHECKING:
    from offramp.plan.fleet_plan import FleetPlan

GIB = 1 << 30
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("plan")
@click.option("--device", default=None, help="Name of the device, such as cpu-laptop, l4, a100-80gb, h100.")
@click.option("--prices", default=None, type=click.Path(), help="JSON file of prices over the bundled ones.")
@click.option(
    "--fleet", default=None, help="Plan a fleet: its file (TOML or JSON), or any for every GPU known."
)
@click.option(
    "--demand",
    default=None,
    type=_FILE,
    help="Calls by window, with who could answer them; else the store's.",
)
@click.option(
    "--objective", default=None, type=float, help="Seconds a call of the store may take; else the LLM's own."
)
@click.option("--profiles", default=None, type=_FILE, help="Measured speeds, as `offramp probe` writes them.")
@click.option("--solver", type=click.Choice(["greedy", "exact"]), default="greedy", show_default=True)
@click.option(
    "--effort", default=20.0, show_default=True, help="With --solver exact: about how many seconds."
)
@click.option(
    "--from", "present", default=None, type=_FILE, help="The present placement, to change little of."
)
@click.option(
    "--move-cost", default=0.5, show_default=True, help="With --from: USD that starting an engine costs."
)
@click.option("--horizon", default=24.0, show_default=True, help="With --from: hours that a plan shall last.")
@click.option(
    "--out",
    default=None,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for placement.json and plan.svg.",
)
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    *,
    device: str | None,
    prices: str | None,
    fleet: str | None,
    demand: Path | None,
    objective: float | None,
    profiles: Path | None,
    solver: str,
    effort: float,
    present: Path | None,
    move_cost: float,
    horizon: float,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say what the certified specialists need on a device, what it costs, and when that pays.

    With --fleet: who answers each task, which engines run on which devices of a fleet, and what binds.
    With --from as well: what of a present placement to change, where that pays.
    """
    if fleet is None and (demand or objective or profiles or present or out):
        raise BadInput(
            "--demand, --objective, --profiles, --from and --out plan a fleet; name it with --fleet FILE."
        )
    if present is not None and solver == "exact":
        raise BadInput(
            "--from changes a present placement; --solver exact plans from nothing: give one of them."
        )
    if fleet is None:
        _one_device(ctx, device, prices, as_json=as_json)
        return
    settings = options.settings_of(ctx, plan__prices=prices)
    switching = Switching(usd_per_start=move_cost, horizon_h=horizon)
    question = Question(fleet, demand, profiles, objective, present, switching, effort * (solver == "exact"))
    if demand is not None:
        plan = make_fleet_plan(question, settings)
    else:
        app = build(settings, existing=True)
        try:
            plan = make_fleet_plan(question, settings, app.store)
        finally:
            app.close()
    _fleet(plan, out, as_json=as_json)


def _one_device(ctx: click.Context, device: str | None, prices: str | None, *, as_json: bool) -> None:
    settings = options.settings_of(ctx, plan__device=device, plan__prices=prices)
    app = build(settings, existing=True)
    try:
        planned = make_plan(app.store, settings)
    finally:
        app.close()
    if planned is None:
        raise NotFound("There is no traffic to plan for yet.", hint="Run `offramp tasks` after recording.")
    if as_json:
        echo_json(planned.to_dict())
        return
    memory, costs = planned.memory, planned.costs
    click.echo(
        f"{planned.device}: {memory.total / GIB:.2f} of {planned.memory_there / GIB:.0f} GiB "
        f"(weights {memory.weights / GIB:.2f}, adapters {memory.adapters / GIB:.2f}, "
        f"fixed {memory.fixed / GIB:.2f}, KV {memory.kv / GIB:.2f}), {planned.replicas} device(s), "
        f"{planned.load:.1%} of its time in the busiest hour"
    )
    click.echo(f"What binds: {planned.binding}")
    click.echo(
        f"In {costs.days} days: {costs.llm_only:,.2f} USD on the LLM, {costs.with_offramp:,.2f} with offramp"
    )
    for row in costs.break_even:
        click.echo(
            f"  at {row.utilisation:.0%} utilisation: {row.calls_per_month:,} calls a month, "
            f"{row.saving_per_month:,.2f} USD saved"
        )
    click.echo(costs.sentence)


def _fleet(plan: FleetPlan, out: Path | None, *, as_json: bool) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plan.placement.to_dict(), indent=1)
        (out / "placement.json").write_text(text + "\n", encoding="utf-8")
        (out / "plan.svg").write_text(draw(plan, load_devices()), encoding="utf-8")
    if as_json:
        echo_json(plan.to_dict())
        return
    _tasks(plan)
    _devices(plan)
    for move in plan.moves:
        click.echo(f"To do: {move.what} {move.engine}")
    click.echo(f"What binds: {plan.binding}")
    for note in plan.notes:
        click.echo(f"Note: {note}")
    _money(plan)
    if out is not None:
        click.echo(f"Written: {out / 'placement.json'}, {out / 'plan.svg'}")


def _tasks(plan: FleetPlan) -> None:
    width = max(12, *(len(one.task) for one in plan.tasks))
    named = max(12, *(len(one.specialist) for one in plan.tasks))
    heads = f"{'answered by':<{named}}  {'coverage':>8}  {'predicted':>9}  {'allowed':>7}"
    click.echo(f"{'task':<{width}}  {heads}")
    for one in plan.tasks:
        who = one.specialist or "the LLM"
        predicted = f"{one.latency_s:.2f} s" if one.specialist else ""
        click.echo(
            f"{one.task:<{width}}  {who:<{named}}  {percent(one.coverage) if one.specialist else '':>8}  "
            f"{predicted:>9}  {one.objective_s:>5g} s"
        )
        if one.why:
            click.echo(f"{'':<{width}}  {one.why}")


def _devices(plan: FleetPlan) -> None:
    click.echo("")
    for number, (device, filling) in enumerate(zip(plan.placement.devices, plan.devices, strict=True)):
        cut = f" cut into {', '.join(device.profiles)}" if device.profiles else ""
        where = f"{device.kind} ({device.node}, gpu {device.index}){cut}"
        click.echo(
            f"{where}: {percent(filling.memory)} of the memory, {percent(filling.share)} of the compute, "
            f"its engines work {percent(filling.duty)} in their busiest windows"
        )
        for engine in plan.placement.on(number):
            share = sum(part.share for part in engine.slices if part.device == number)
            click.echo(
                f"  {engine.name}: {adapters(len(engine.adapters))} on {engine.base}, {percent(share)}, "
                f"{engine.slots} at once, {engine.memory.kv / GIB:.1f} GiB of KV cache"
            )
    reserve = plan.placement.reserve
    if reserve is not None:
        click.echo(
            f"Reserve for the LLM: {reserve.slots} requests at once, {reserve.kv / GIB:.1f} GiB of KV cache, "
            f"{percent(reserve.share)} of its devices; a wait over {reserve.wait_s:g} s in at most "
            f"{reserve.probability:.2g} of the calls"
        )


def _money(plan: FleetPlan) -> None:
    gap = "" if plan.gap is None else f", at most {plan.gap:.1%} above the cheapest packing"
    click.echo(
        f"{usd(plan.devices_usd)} an hour for {devices(len(plan.placement.devices))} ({plan.solver}{gap}), "
        f"{usd(plan.llm_usd)} for a provider's LLM; everything there: {usd(plan.llm_only_usd)}"
    )
    for row in plan.break_even:
        click.echo(f"  {sentence(row)}")
    click.echo(
        f"KV demand exceeds its budget with probability {plan.placement.overflow:.2g} per device at most; "
        f"engines of their own would need {plan.oversubscription:.1f} times the KV cache"
    )
