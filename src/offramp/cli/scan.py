"""`offramp scan`: the analysis without a gateway and without a set-up."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from offramp.app.scan import Wanted, scan
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.report.page import render_page
from offramp.report.scan_table import render_scan


@click.command("scan")
@options.files
@options.log_format
@options.skip_broken
@click.option("--quick", is_flag=True, help="Only find the tasks: seconds, and no train extra.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Time for trying candidates, on what could save most first.",
)
@options.alpha
@options.delta
@click.option(
    "--days",
    type=click.FloatRange(min=0.001),
    default=None,
    help="Days of traffic that the logs are; told from their times by default.",
)
@click.option("--model", default="", help="Model that answered calls which name none, for its price.")
@click.option("--prices", type=click.Path(), default=None, help="JSON file of prices.")
@options.base
@options.kinds
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write the page here.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    out: Path | None,
    *,
    alpha: float | None,
    delta: float | None,
    base: str | None,
    kinds: str | None,
    prices: str | None,
    log_format: str,
    as_json: bool,
    **asked: object,
) -> None:
    """Say how much of recorded traffic could leave the LLM, at which certified risk, and what it saves.

    LOGS are JSON or JSONL files, plain or .gz, or - for standard input: {"request": ..., "response": ...},
    OpenAI chats {"messages": [..., the answer]}, OpenTelemetry GenAI spans, Langfuse or LiteLLM exports.
    Nothing is sent anywhere, nothing goes live, and nothing of the logs stays behind.
    """
    settings = options.settings_of(
        ctx,
        certify__alpha=alpha,
        certify__delta=delta,
        train__base=base,
        train__kinds=kinds,
        plan__prices=prices,
    )
    wanted = Wanted(format=log_format, **asked)  # type: ignore[arg-type]  # click gives each its type
    summary = scan(settings, wanted, options.progress_line())
    if out is not None:
        out.write_text(render_page(summary), encoding="utf-8")
    if as_json:
        echo_json(summary.to_dict())
        return
    assert summary.scan is not None
    click.echo(
        render_scan(summary, summary.scan, width=shutil.get_terminal_size((100, 24)).columns), nl=False
    )
    if out is not None:
        click.echo(f"The page: {out}")
