"""Options that several commands share, and the settings they add up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from offramp.config import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.config import Settings
    from offramp.core.json import JsonObject

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
alpha = click.option(
    "--alpha", type=float, default=None, help="Largest share of answered calls that may disagree."
)
delta = click.option("--delta", type=float, default=None, help="Probability of any certificate being wrong.")
base = click.option("--base", default=None, help="Hugging Face directory or hub name of the base, or auto.")
kinds = click.option(
    "--kinds",
    default=None,
    help="Kinds of candidates to try, as in cache,template; what suits by default.",
)
events = click.option(
    "--events",
    default=None,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append how training goes to this file, one JSON object a line.",
)
files = click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
log_format = click.option(
    "--format", "log_format", default="", help="Format of the files; told from each row by default."
)
skip_broken = click.option(
    "--skip-broken", is_flag=True, help="Leave out and count lines that cannot be read."
)


def event_lines(file: Path | None) -> Callable[[JsonObject], None] | None:
    """Return a function that appends JSON events to a file; None where no file is given."""
    if file is None:
        return None

    def append(event: JsonObject) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(event) + "\n")

    return append


def settings_of(ctx: click.Context, **overrides: Any) -> Settings:
    """Load the settings with this command's flags on top.

    Args:
        ctx: The command's context; the root command left ``--settings`` and ``--home`` there.
        overrides: Values by dotted name with ``__`` for the dot; None leaves the setting alone.
    """
    common = ctx.obj or {}
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    file = common.get("settings")
    return load(Path(file) if file else None, overrides={"home": common.get("home"), **named})


def progress_line() -> Callable[[str], None]:
    """Return a function that shows what is going on, one line each, on standard error."""

    def show(line: str) -> None:
        click.echo(line, err=True)

    return show
