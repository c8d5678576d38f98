"""`offramp probe`: how fast an engine that is there reads and writes."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.enforce.throughput import Questions, add_profile, batches_of, measure


@click.command("probe")
@click.argument("url")
@click.option("--model", required=True, help="Name that the engine is asked by.")
@click.option("--device", default="", help="Kind of device it runs on, as placements name it.")
@click.option("--key", default="", help="API key, where it wants one.")
@click.option("--prompt", type=click.IntRange(8), default=1024, show_default=True, help="Prompt tokens.")
@click.option("--completion", type=click.IntRange(2), default=64, show_default=True, help="Tokens written.")
@click.option("--batches", default="1,2,4,8,16,32", show_default=True, help="Requests at once.")
@click.option(
    "--repeats", type=click.IntRange(1), default=3, show_default=True, help="Of each; medians count."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Profiles file to add it to.")
@options.as_json
def command(
    url: str,
    *,
    model: str,
    device: str,
    key: str,
    prompt: int,
    completion: int,
    batches: str,
    repeats: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure an OpenAI-compatible engine: prompt tokens per second, decoding steps by requests at once.

    It sends drawn tokens and asks for answers of a fixed length; nobody else should use it meanwhile.
    """
    questions = Questions(
        model,
        prompt=prompt,
        completion=completion,
        batches=batches_of(batches.split(",")),
        repeats=repeats,
    )
    found = asyncio.run(measure(url, questions, device=device, key=key, told=options.progress_line()))
    if out is not None:
        add_profile(out, found)
    if as_json:
        echo_json(asdict(found))
        return
    click.echo(
        f"{model} reads {found.prefill_tokens_per_s:,.0f} prompt tokens/s "
        f"after {1000 * found.request_s:.1f} ms"
    )
    click.echo(f"{'at once':>8}{'ms a step':>12}{'tokens/s':>12}{'first token ms':>16}")
    for step in found.decode:
        click.echo(
            f"{step.batch:>8}{1000 * step.step_s:>12.2f}{step.tokens_per_s:>12,.1f}"
            f"{1000 * step.first_token_s:>16.1f}"
        )
