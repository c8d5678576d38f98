"""`offramp tasks`: what recurs in the recorded calls."""

from __future__ import annotations

from dataclasses import asdict

import click

from offramp.app import build
from offramp.app.money import prices_of
from offramp.app.security import reading
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop.find import Stages, find_tasks
from offramp.report.task_list import render_changes, render_tasks


@click.command("tasks")
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Discover the tasks in the recorded calls: how large they are, and whether they are convertible.

    Also says what happened to the tasks since they were last discovered: new ones, splits, merges.
    """
    app = build(options.settings_of(ctx), existing=True)
    try:
        store, prices = reading(app, "tasks"), prices_of(app.settings)
        _, discovery = find_tasks(
            store, Stages(), options.progress_line(), prices=prices, measures=app.measures
        )
    finally:
        app.close()
    if as_json:
        echo_json([asdict(task) for task in discovery.tasks])
    else:
        click.echo(render_tasks(discovery.tasks))
        if discovery.changes:
            click.echo("\n" + render_changes(discovery.changes, discovery.tasks))
        click.echo("\nNext: offramp convert")
