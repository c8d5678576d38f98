"""`offramp replay`: a teacher that answers from recorded calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from offramp.cli import options
from offramp.upstream.recording import load_recording
from offramp.upstream.replay import Replay
from offramp.upstream.serving import Address, run, serve

if TYPE_CHECKING:
    from pathlib import Path


@click.command("replay")
@options.files
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8412, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--latency-ms", default=0.0, show_default=True, help="Wait before every answer.")
@options.skip_broken
@options.as_json
def command(
    logs: tuple[Path, ...], host: str, port: int, latency_ms: float, *, skip_broken: bool, as_json: bool
) -> None:
    """Serve recorded answers as an OpenAI-compatible teacher.

    LOGS are JSONL files, plain or .gz, one {"request": ..., "response": ...} per line.
    """
    recording = load_recording(logs, skip_broken=skip_broken)

    def ready(address: Address) -> None:
        if as_json:
            said = {"url": address.url, "calls": recording.calls, "skipped": recording.skipped}
            click.echo(json.dumps(said))
        else:
            skipped = f", {recording.skipped} broken lines left out" if recording.skipped else ""
            click.echo(f"Replaying {recording.calls} calls at {address.url}/v1{skipped}. Stop with Ctrl-C.")

    run(serve(Replay(recording, latency_s=latency_ms / 1000), host=host, port=port, on_ready=ready))
