"""`offramp recorder`: the process that masks, encrypts and stores calls; started by `offramp serve`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import click

from offramp.app import build
from offramp.app.recording import Janitor
from offramp.app.security import leave_no_core
from offramp.cli import options
from offramp.record.drain import Pace
from offramp.record.folder import ring_folders
from offramp.record.process import Recorder, serve
from offramp.telemetry import configure_logs


@click.command("recorder", hidden=True)
@click.option("--ring", type=click.Path(path_type=Path), default=None, help="The gateway's ring.")
@click.pass_context
def command(ctx: click.Context, ring: Path | None) -> None:
    """Record what is in the ring; without one, store what gateways left that are gone, and end."""
    leave_no_core()
    settings = options.settings_of(ctx)
    app = build(settings, existing=ring is None)

    def open_recorder() -> Recorder:
        return Recorder(
            app.open_writer(),
            ring_folders(settings.home, settings.record.ring_folder),
            app.store.secret("ring"),
            own=ring,
            pace=Pace(commit_s=settings.record.commit_ms / 1000),
        )

    if ring is not None:
        configure_logs(settings.telemetry.log)
        Janitor(app.open_store, settings.record).start()
        sys.exit(serve(socket.socket(fileno=0), open_recorder))
    recorder = open_recorder()
    try:
        recorder.run()
    finally:
        recorder.close()
