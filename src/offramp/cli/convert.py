"""`offramp convert`: from recorded calls to certified specialists."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.app.base_choice import choose_base, render_outcome
from offramp.app.chosen import AUTO
from offramp.app.decisions import decisions, render_decisions
from offramp.app.kinds import kinds_of
from offramp.app.money import prices_of
from offramp.app.security import reading
from offramp.app.summary import summarise
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.loop.pipeline import Stages, find_tasks, run_night
from offramp.report.table import render_table

if TYPE_CHECKING:
    from pathlib import Path


@click.command("convert")
@click.argument("task", required=False)
@options.alpha
@options.delta
@options.base
@options.kinds
@options.events
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    task: str | None,
    alpha: float | None,
    delta: float | None,
    base: str | None,
    kinds: str | None,
    events: Path | None,
    *,
    as_json: bool,
) -> None:
    """Curate, train, choose and certify, for every convertible TASK or the one named (with its group).

    Nothing goes live by this: `offramp promote` does that.
    """
    settings = options.settings_of(
        ctx, certify__alpha=alpha, certify__delta=delta, train__base=base, train__kinds=kinds
    )
    # Before anything is read: a misspelt kind must not cost the user the discovery.
    kinds_of(settings)
    app = build(settings, existing=True)
    say = options.progress_line()
    outcome = None
    try:
        stages = Stages()
        store = reading(app, "convert")
        found = find_tasks(store, stages, say, prices=prices_of(settings), measures=app.measures)
        if settings.train.base == AUTO:
            outcome = choose_base(app, found, say, task=task)
            settings = app.settings
        workshop = app.workshop(say, options.event_lines(events))
        run_night(store, found, workshop, app.goal, stages, say, task=task)
        summary = summarise(app.store, settings, seconds=stages.seconds)
        decided = decisions(app.store)
    finally:
        app.close()
    if as_json:
        base_probe = None if outcome is None else asdict(outcome)
        decided_json = [asdict(one) for one in decided]
        echo_json({**summary.to_dict(), "decisions": decided_json, "base_probe": base_probe})
        return
    click.echo(render_table(summary))
    if outcome is not None:
        click.echo(render_outcome(outcome) + "\n")
    click.echo(f"Candidates, measured on validation calls\n{render_decisions(decided)}")
    click.echo("\nNext: offramp promote")
