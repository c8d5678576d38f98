"""`offramp audit`: who read and did what, and whether the log of it is whole."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.app.security import check_audit
from offramp.cli import options
from offramp.cli.root import echo_json

if TYPE_CHECKING:
    from offramp.access.verify import Checked

_TAMPERED = 1


@click.group("audit", invoke_without_command=True)
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """The audit log: every read of recorded calls, and every change of keys, deployments and data.

    Without a subcommand it is shown.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(show, as_json=as_json)


@command.command("show")
@click.option("--last", type=click.IntRange(min=1), default=50, show_default=True, help="Entries to show.")
@options.as_json
@click.pass_context
def show(ctx: click.Context, last: int = 50, *, as_json: bool = False) -> None:
    """Show the latest entries."""
    checked = _checked(ctx)
    if as_json:
        echo_json([asdict(entry) for entry in checked.entries[-last:]])
        return
    for entry in checked.entries[-last:]:
        at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds")
        count = f"{entry.count} " if entry.count else ""
        click.echo(f"{entry.seq:>6}  {at}  {entry.who:<12}  {entry.action:<12}  {count}{entry.what}")
    if not checked.intact:
        click.echo("The log was tampered with: `offramp audit verify` says where.", err=True)


@command.command("verify")
@options.as_json
@click.pass_context
def verify(ctx: click.Context, *, as_json: bool) -> None:
    """Check every seal, every link and the end of the log; exit code 1 where anything is wrong.

    Note the head that is printed somewhere else: it shows a log and a store that were both put back.
    """
    checked = _checked(ctx)
    if as_json:
        faults = [asdict(fault) for fault in checked.faults]
        head = asdict(checked.head)
        echo_json({"intact": checked.intact, "entries": len(checked.entries), "head": head, "faults": faults})
    else:
        for fault in checked.faults:
            where = f"Line {fault.line}" if fault.line else "The log"
            click.echo(f"{where} {fault.what}.")
        if checked.intact:
            last = checked.head
            click.echo(f"{len(checked.entries)} entries, all whole. Head: {last.seq}:{last.hash}")
    sys.exit(0 if checked.intact else _TAMPERED)


def _checked(ctx: click.Context) -> Checked:
    app = build(options.settings_of(ctx), existing=True)
    try:
        return check_audit(app)
    finally:
        app.close()
