"""`offramp worker`: the process that holds the specialists; started by `offramp serve`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import click

from offramp.app import build
from offramp.app.specialists import LiveSpecialists
from offramp.cli import options
from offramp.engine.worker import Worker
from offramp.telemetry import configure_logs
from offramp.upstream.serving import run


@click.command("worker", hidden=True)
@click.option("--socket", "path", required=True, type=click.Path(path_type=Path))
@options.base
@click.argument("specialists", nargs=-1, required=True)
@click.pass_context
def command(ctx: click.Context, path: Path, base: str | None, specialists: tuple[str, ...]) -> None:
    """Serve specialists on a Unix socket."""
    # Single calls gain nothing from a second thread, which the gateway's cores can use.
    app = build(options.settings_of(ctx, train__base=base, train__threads=1))
    configure_logs(app.settings.telemetry.log)
    threading.Thread(target=_end_with_gateway, name="gateway watch", daemon=True).start()
    live = LiveSpecialists(app, specialists)
    run(Worker(live.propose, mask=app.redactor.mask).serve(path, ready=lambda: click.echo("ready")))


def _end_with_gateway() -> None:
    """Wait for the end of standard input, which the gateway holds open, and end with it."""
    sys.stdin.buffer.read()
    os._exit(0)
