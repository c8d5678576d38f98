"""`offramp simulate`: a placement under the arrivals of traces."""

from __future__ import annotations

from pathlib import Path

import click

from offramp.app.simulation import run_placement, stream_of
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.simulate.policy import POLICIES


@click.command("simulate")
@click.argument("placement", type=click.Path(path_type=Path))
@click.option(
    "--stream",
    "streams",
    multiple=True,
    required=True,
    help="MODEL=TRACE@SECONDS: who is asked, the arrivals, what a call may take; the most urgent first.",
)
@click.option("--policy", type=click.Choice(sorted(POLICIES)), default="first-come", show_default=True)
@click.option("--load", type=float, default=1.0, show_default=True, help="Times as many requests a second.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context, placement: Path, streams: tuple[str, ...], policy: str, load: float, *, as_json: bool
) -> None:
    """Run traces through a placement, without a GPU, and say how long calls take and what they cost."""
    parsed = [stream_of(text, rank=rank, load=load) for rank, text in enumerate(streams)]
    found = run_placement(placement, parsed, policy, options.settings_of(ctx))
    if as_json:
        echo_json(found.to_dict())
        return
    click.echo(f"{'class':<20}{'calls':>8}{'refused':>9}{'p50 s':>9}{'p95 s':>9}{'p99 s':>9}{'within':>9}")
    for one in found.classes:
        click.echo(
            f"{one.name:<20}{one.requests:>8,}{one.refused:>9,}{one.p50_s:>9.2f}{one.p95_s:>9.2f}"
            f"{one.p99_s:>9.2f}{one.within:>9.1%}"
        )
    click.echo(
        f"{found.seconds:,.0f} s simulated; the busiest engine worked {found.busiest:.0%} of them; "
        f"KV overflow in {found.overflow:.3%} of iterations (bound {found.overflow_bound:.3%}), "
        f"{found.preempted:,} pre-empted"
    )
    click.echo(
        f"{found.price_per_hour:,.2f} USD/h, {found.price_per_1000:,.4f} USD per 1,000 calls; "
        f"run {found.digest}"
    )
