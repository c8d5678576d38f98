"""`offramp scan`: the analysis without a gateway and without a set-up."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from offramp.app import build
from offramp.app.imports import import_logs
from offramp.app.summary import summarise
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop.night import Goal
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.report.page import render_page
from offramp.report.table import render_table


@click.command("scan")
@options.files
@options.alpha
@options.delta
@options.base
@options.skip_broken
@click.option("--quick", is_flag=True, help="Only find the tasks; train and certify nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write the report page here.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    logs: tuple[Path, ...],
    alpha: float | None,
    delta: float | None,
    base: str | None,
    out: Path | None,
    *,
    skip_broken: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Say which share of recorded traffic could leave the LLM, and what that would save.

    LOGS are JSONL files, plain or .gz: {"request": ..., "response": ...} or an OpenAI chat
    {"messages": [..., the answer]} per line. Everything happens in a temporary store that is removed at
    the end; nothing goes live.
    """
    chosen = options.settings_of(ctx, certify__alpha=alpha, certify__delta=delta, train__base=base)
    say = options.progress_line()
    with tempfile.TemporaryDirectory(prefix="offramp-scan-") as folder:
        settings = replace(chosen, home=Path(folder))
        app = build(settings)
        try:
            imported = import_logs(app, logs, skip_broken=skip_broken)
            say(f"Read {imported.read} calls; {imported.skipped} broken lines left out.")
            stages = Stages()
            found = find_tasks(app.store, stages, say)
            if not quick:
                goal = Goal(settings.certify.alpha, settings.certify.delta, seed=settings.train.seed)
                run_night(app.store, found, app.workshop(say), goal, stages, say)
            title = ", ".join(path.name for path in logs)
            summary = summarise(app.store, settings, seconds=stages.seconds, title=title)
        finally:
            app.close()
    if out is not None:
        out.write_text(render_page(summary), encoding="utf-8")
    if as_json:
        echo_json(summary.to_dict())
    else:
        click.echo(render_table(summary))
