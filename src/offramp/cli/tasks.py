"""`offramp tasks`: what recurs in the recorded calls."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop.pipeline import Stages, find_tasks

if TYPE_CHECKING:
    from offramp.core.task import Task

NAME = 52


@click.command("tasks")
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Discover the tasks in the recorded calls: how large they are, and whether they are convertible."""
    app = build(options.settings_of(ctx))
    try:
        _, discovery = find_tasks(app.store, Stages(), lambda _: None)
    finally:
        app.close()
    if as_json:
        echo_json([asdict(task) for task in discovery.tasks])
    else:
        click.echo(table(discovery.tasks))
        click.echo("\nNext: offramp convert")


def table(tasks: tuple[Task, ...]) -> str:
    """Lay the tasks out as text."""
    lines = [f"{'id':<15} {'task':<{NAME}} {'calls':>7} {'share':>6} {'tokens':>6}  output     convertible"]
    for task in tasks:
        name = task.name if len(task.name) <= NAME else task.name[: NAME - 1] + "…"
        lines.append(
            f"{task.id:<15} {name:<{NAME}} {task.calls:>7} "
            f"{task.share_calls:>6.1%} {task.share_tokens:>6.1%}  "
            f"{task.output.value:<10} {'yes' if task.convertible else 'no'}: {task.reason}"
        )
    return "\n".join(lines)
