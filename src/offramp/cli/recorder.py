"""`offramp recorder`: the process that masks, encrypts and stores calls; started by `offramp serve`."""

from __future__ import annotations

import socket
import sys

import click

from offramp.app import build
from offramp.cli import options
from offramp.record.process import serve


@click.command("recorder", hidden=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Record what comes over standard input, a socket."""
    app = build(options.settings_of(ctx))
    sys.exit(serve(socket.socket(fileno=0), app.open_writer))
