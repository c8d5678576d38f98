"""`offramp report`: one page of what is known."""

from __future__ import annotations

from pathlib import Path

import click

from offramp.app import build
from offramp.app.summary import summarise
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.report.page import render_page


@click.command("report")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, help="The page."
)
@options.as_json
@click.pass_context
def command(ctx: click.Context, out: Path, *, as_json: bool) -> None:
    """Write one self-contained HTML page: tasks, certificates, refusals, costs."""
    settings = options.settings_of(ctx)
    app = build(settings, existing=True)
    try:
        summary = summarise(app.store, settings)
    finally:
        app.close()
    if as_json:
        echo_json(summary.to_dict())
        return
    out.write_text(render_page(summary), encoding="utf-8")
    click.echo(f"Wrote {out}.")
