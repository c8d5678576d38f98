"""`offramp export`: recorded calls out of the store, in a form that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from offramp.app import build
from offramp.app.exports import Selection, export_calls
from offramp.cli import options
from offramp.cli.root import echo_json


@click.command("export")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", "log_format", default="pairs", help="pairs, chat, otel, langfuse or litellm.")
@click.option("--task", default="", help="Only the calls of one task.")
@click.option("--since", default="", help="Only calls from this time on (ISO 8601, UTC by default).")
@click.option("--trainable", is_flag=True, help="Only calls that may be trained on.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context, out: Path, log_format: str, task: str, since: str, *, trainable: bool, as_json: bool
) -> None:
    """Write recorded calls to OUT, one a line (.gz is compressed); masked, as they are stored.

    What is written can be read by `offramp import` again. Reading bodies is entered in the audit log.
    """
    app = build(options.settings_of(ctx), existing=True)
    try:
        chosen = Selection(task=task, since=since, trainable_only=trainable)
        exported = export_calls(app, out, log_format, chosen)
    finally:
        app.close()
    if as_json:
        echo_json({"written": exported.written, "left_out": exported.left_out, "file": str(out)})
        return
    click.echo(f"Wrote {exported.written} calls to {out}.")
    if exported.left_out:
        click.echo(f"Left out {exported.left_out} calls that this format cannot hold.", err=True)
