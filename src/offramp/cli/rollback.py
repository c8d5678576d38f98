"""`offramp rollback`: back to the LLM."""

from __future__ import annotations

import click

from offramp.access.roles import Action
from offramp.app import build
from offramp.app.security import audit_of
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop import state


@click.command("rollback")
@click.argument("task")
@options.as_json
@click.pass_context
def command(ctx: click.Context, task: str, *, as_json: bool) -> None:
    """Take the specialist of TASK (a task's id or a specialist's) out of service."""
    app = build(options.settings_of(ctx), existing=True)
    try:
        out = state.roll_back(app.store, task)
        audit_of(app).write(Action.ROLLBACK, task)
    finally:
        app.close()
    if as_json:
        echo_json([deployment.specialist for deployment in out])
        return
    for deployment in out:
        click.echo(f"{deployment.specialist} is out; {len(deployment.tasks)} task(s) are back with the LLM.")
