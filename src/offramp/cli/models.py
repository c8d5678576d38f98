"""`offramp models`: which small models could be the base of specialists, on what device, and why not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.app.models import NANO, TYPICAL, Wish, judged, load_of_task
from offramp.app.security import reading
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.select import load_catalogue

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.loop.bases import Fit, Load

GIB = 1 << 30
_NAME = 42


@click.command("models")
@click.option("--task", default=None, help="A discovered task whose recorded calls say what is needed.")
@click.option("--device", default=None, help="Name of the device, such as cpu-laptop, l4, a100-80gb, h100.")
@click.option(
    "--engine",
    type=click.Choice(["embedded", "server"]),
    default="embedded",
    help="What is to run the model: offramp itself, or an OpenAI-compatible server.",
)
@options.as_json
@click.pass_context
def command(ctx: click.Context, task: str | None, device: str | None, engine: str, *, as_json: bool) -> None:
    """List the catalogue of small models: what passes for a task on a device, and why the others do not."""
    settings = options.settings_of(ctx, plan__device=device)
    load, name = TYPICAL, "a task of short requests"
    if task is not None:
        app = build(settings, existing=True)
        try:
            found, load = load_of_task(reading(app, "models"), task)
            name = found.name
        finally:
            app.close()
    wish = Wish(settings.plan.device, engine, load)
    models = judged(settings, wish)
    if as_json:
        echo_json({"device": wish.device, "load": asdict(load), "models": [_row(fit) for fit in models]})
        return
    click.echo(_heading(name, wish, load))
    for fit in sorted(models, key=lambda fit: (bool(fit.reasons), not fit.small)):
        click.echo(_line(fit))
    click.echo("\nNext: offramp convert --base auto, or --base NAME")


def _heading(name: str, wish: Wish, load: Load) -> str:
    return (
        f"For {name} on {wish.device}, {wish.engine} engine: calls of up to {load.context:,} tokens, "
        f"typically {load.prompt:,} read and {load.completion:,} written.\n"
        f"{'model':{_NAME}} {'weights':>8} {'memory':>9} {'answer':>8}"
    )


def _line(fit: Fit) -> str:
    name = "nano (bundled)" if fit.model.name == NANO else fit.model.name
    name = name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
    figures = f"{name:{_NAME}} {_weights(fit):>8} {fit.memory / GIB:5.1f} GiB {fit.seconds:6.2f} s"
    return f"{figures}  {_verdict(fit)}"


def _verdict(fit: Fit) -> str:
    if fit.reasons:
        return f"no: {'; '.join(fit.reasons)}"
    return "passes" if fit.small else "too slow there to count as small"


def _weights(fit: Fit) -> str:
    parameters = fit.model.parameters
    if parameters is None:
        return "?"
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


def _row(fit: Fit) -> JsonObject:
    licence = load_catalogue().licences.get(fit.model.licence)
    return {
        "name": fit.model.name,
        "parameters": fit.model.parameters,
        "context": fit.model.context,
        "licence": licence.title if licence else fit.model.licence,
        "memory": fit.memory,
        "seconds": fit.seconds,
        "small": fit.small,
        "passes": not fit.reasons and fit.small,
        "reasons": list(fit.reasons),
    }
