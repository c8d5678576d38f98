"""`offramp promote`: certified specialists go live."""

from __future__ import annotations

import click

from offramp.access.roles import Action
from offramp.app import build
from offramp.app.security import audit_of
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop import state


@click.command("promote")
@click.argument("task", required=False)
@options.as_json
@click.pass_context
def command(ctx: click.Context, task: str | None, *, as_json: bool) -> None:
    """Put the certified specialist of TASK (an id) live, or all that are certified.

    A running gateway takes them up within seconds.
    """
    app = build(options.settings_of(ctx), existing=True)
    try:
        measures = app.measures
        deployed = state.promote(app.store, task, measures=measures)
        stale = state.stale_certificates(app.store, measures)
        audit_of(app).write(Action.PROMOTE, task or "all")
    finally:
        app.close()
    if as_json:
        echo_json([deployment.to_dict() for deployment in deployed])
        return
    for deployment in deployed:
        click.echo(
            f"{deployment.specialist} answers {len(deployment.tasks)} task(s) at confidence "
            f"{deployment.threshold:.3f} or more."
        )
    for specialist, reason in stale.items():
        click.echo(f"{specialist} did not go live: {reason}. `offramp convert` certifies it anew.")
    if not deployed and not stale:
        click.echo("Nothing is certified, so nothing went live. `offramp convert` certifies.")
