"""`offramp demo`: the whole loop on bundled recorded traffic."""

from __future__ import annotations

from pathlib import Path

import click

from offramp.app.build import heavy
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.report.table import render_table


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder of report.html, summary.json and the store.",
)
@click.option("--calls", type=click.IntRange(min=200), default=None, help="Use about this many calls.")
@options.alpha
@options.delta
@options.base
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    out: Path,
    calls: int | None,
    alpha: float | None,
    delta: float | None,
    base: str | None,
    *,
    as_json: bool,
) -> None:
    """Record, discover, train, certify, go live and compare, on recorded agent traffic, on this machine."""
    settings = options.settings_of(ctx, certify__alpha=alpha, certify__delta=delta, train__base=base)
    module = heavy("offramp.demo.run")
    summary = module.run(module.Demo(settings, out, calls, options.progress_line()))
    if as_json:
        echo_json(summary.to_dict())
        return
    click.echo(render_table(summary))
    click.echo(f"\nThe report: {out / 'report.html'}\nThe figures: {out / 'summary.json'}")
