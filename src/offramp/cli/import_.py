"""`offramp import`: recorded calls into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.app.imports import import_logs
from offramp.cli import options
from offramp.cli.root import echo_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command("import")
@options.files
@options.log_format
@options.skip_broken
@options.as_json
@click.pass_context
def command(
    ctx: click.Context, logs: tuple[Path, ...], log_format: str, *, skip_broken: bool, as_json: bool
) -> None:
    """Take recorded calls into the store, masked and encrypted; all of the files or nothing.

    LOGS are JSON or JSONL files, plain or .gz: {"request": ..., "response": ...}, OpenAI chats
    {"messages": [..., the answer]}, OpenTelemetry GenAI spans, Langfuse or LiteLLM exports. Importing a
    file again adds nothing.
    """
    app = build(options.settings_of(ctx))
    try:
        imported = import_logs(app, logs, wanted=log_format, skip_broken=skip_broken)
    finally:
        app.close()
    if as_json:
        echo_json({"read": imported.read, "added": imported.added, "skipped": imported.skipped})
        return
    click.echo(f"Read {imported.read} calls, {imported.added} of them new, into {app.settings.store_path}.")
    if imported.skipped:
        click.echo(f"Left out {imported.skipped} broken lines; the first: {imported.first_error}", err=True)
    click.echo("Next: offramp tasks")
