"""`offramp status`: what serves what."""

from __future__ import annotations

from dataclasses import asdict

import click

from offramp.app import build
from offramp.app.queues import scheduled_line
from offramp.app.recording import alarm_of, recording_of
from offramp.app.watch import live_risk
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop import state


@click.command("status")
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Say what is recorded, what is live, and what audits say about its risk."""
    app = build(options.settings_of(ctx), existing=True)
    try:
        store = app.store
        calls = store.count()
        live = [
            {**deployment.to_dict(), **live_risk(store, deployment)}
            for deployment in state.deployments(store)
        ]
        tasks = state.load_tasks(store)
        recording = recording_of(app)
        retrain = state.marked_for_retraining(store)
        stale = state.stale_certificates(store, app.measures)
    finally:
        app.close()
    if as_json:
        facts = {"calls": calls, "tasks": len(tasks), "live": live}
        facts |= {"recording": recording, "retrain": retrain, "stale": stale}
        echo_json({**facts, "schedule": asdict(app.settings.schedule)})
        return
    if alarm := alarm_of(recording):
        click.echo(f"ALARM: {alarm}", err=True)
    click.echo(f"{calls} calls recorded, {len(tasks)} tasks discovered, {len(live)} specialists live.")
    if line := scheduled_line(app.settings.schedule):
        click.echo(line)
    for found in live:
        click.echo(
            f"{found['specialist']}: {len(found['tasks'])} task(s), threshold {found['threshold']:.3f}, "
            f"certified risk {found['alpha']:.1%}; {found['audited']} audits, "
            f"{found['disagreements']} disagreed, "
            f"live risk {found['risk_low']:.1%} to {found['risk_high']:.1%}"
            + (f"; compared as {found['measure']}" if found["measure"] else "")
        )
    for specialist, reason in stale.items():
        click.echo(f"{specialist} is not promoted any more: {reason}")
    for specialist, reason in retrain.items():
        click.echo(f"{specialist} has to be trained again: {reason}")
