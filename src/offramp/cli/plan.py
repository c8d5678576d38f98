"""`offramp plan`: memory, load and money on one device."""

from __future__ import annotations

import click

from offramp.app import build
from offramp.app.money import make_plan
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.core.errors import NotFound

GIB = 1 << 30


@click.command("plan")
@click.option("--device", default=None, help="Name of the device, such as cpu-laptop, l4, a100-80gb, h100.")
@click.option("--prices", default=None, type=click.Path(), help="JSON file of prices over the bundled ones.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, device: str | None, prices: str | None, *, as_json: bool) -> None:
    """Say what the certified specialists need on a device, what it costs, and when that pays."""
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
