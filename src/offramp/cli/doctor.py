"""`offramp doctor`: is everything as it has to be?"""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from offramp.app.doctor import examine
from offramp.cli import options
from offramp.cli.root import echo_json


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Do not ask the teachers.")
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, offline: bool, as_json: bool) -> None:
    """Find the likely set-up mistakes and say how to mend each; exit code 1 where something cannot work."""
    findings = list(examine(options.settings_of(ctx), network=not offline))
    if as_json:
        echo_json([asdict(finding) | {"ok": finding.ok} for finding in findings])
    else:
        for finding in findings:
            hint = f" {finding.hint}" if finding.hint else ""
            click.echo(f"{finding.level:4} {finding.name}: {finding.found}.{hint}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)
