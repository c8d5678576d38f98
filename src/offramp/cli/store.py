"""`offramp store`: what the store takes, its upkeep, its keys."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from offramp.access.roles import Action
from offramp.app import build
from offramp.app.security import audit_of
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.storage.port import Retention
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.config import Settings
    from offramp.storage.port import Footprint, Upkeep


@click.group("store")
def command() -> None:
    """What the store takes, its upkeep, its keys."""


@command.command("info")
@options.as_json
@click.pass_context
def info(ctx: click.Context, *, as_json: bool) -> None:
    """Say what the store holds and what it takes."""
    with _opened(options.settings_of(ctx)) as store:
        taken = store.footprint()
        keys = store.data_keys()
    if as_json:
        echo_json({**asdict(taken), "total_bytes": taken.total_bytes, "data_keys": keys})
        return
    _show(taken)
    click.echo(f"Data keys: {', '.join(map(str, keys))}; the last one seals.")


@command.command("upkeep")
@click.option("--days", type=click.FloatRange(0), help="Remove calls older than this; 0 keeps them.")
@click.option("--max-bytes", type=click.IntRange(0), help="Remove the oldest calls beyond this; 0: no limit.")
@options.as_json
@click.pass_context
def upkeep(ctx: click.Context, *, days: float | None, max_bytes: int | None, as_json: bool) -> None:
    """Remove what is too old or too much, rewrite what is mostly garbage, give the space back.

    Limits come from the settings record.retain_days and record.max_bytes where no flag names them. It may be
    interrupted at any moment, and run while the gateway records.
    """
    settings = options.settings_of(ctx, record__retain_days=days, record__max_bytes=max_bytes)
    retention = Retention(settings.record.retain_days, settings.record.max_bytes)
    with _opened(settings) as store:
        done = store.upkeep(retention)
    if as_json:
        echo_json(asdict(done))
        return
    _tell(done)


@command.command("rotate-key")
@options.as_json
@click.pass_context
def rotate_key(ctx: click.Context, *, as_json: bool) -> None:
    """Make a new data key, seal everything with it, and drop the old ones.

    Recording goes on meanwhile. Cut short, the next `offramp store upkeep` finishes it.
    """
    settings = options.settings_of(ctx)
    with _opened(settings) as store:
        number = store.rotate_key()
        _enter(settings, f"data key {number}")
        done = store.upkeep()
        keys = store.data_keys()
    if as_json:
        echo_json({"number": number, "data_keys": keys, "upkeep": asdict(done)})
        return
    click.echo(f"Data key {number} seals from now on; {done.resealed} calls and documents sealed with it.")
    if len(keys) > 1:
        kept = ", ".join(str(key) for key in keys if key != number)
        click.echo(f"Older data keys still in use: {kept}. Run `offramp store upkeep` again.")


@command.command("rotate-master")
@options.as_json
@click.pass_context
def rotate_master(ctx: click.Context, *, as_json: bool) -> None:
    """Replace the master key, in the store and in its key file.

    The old key opens nothing afterwards; pseudonyms and surrogates stay what they are. Cut short, the key
    file that is there opens the store. Start the gateway again afterwards.
    """
    settings = options.settings_of(ctx)
    with _opened(settings) as store:
        _enter(settings, "master key")
        store.rotate_master(settings.key_path)
    if as_json:
        echo_json({"key_file": str(settings.key_path)})
        return
    click.echo(f"{settings.key_path} holds a new master key; the old one opens nothing any more.")


def _enter(settings: Settings, what: str) -> None:
    """Write the rotation into the audit log."""
    app = build(settings)
    try:
        audit_of(app).write(Action.ROTATE, what)
    finally:
        app.close()


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[SqliteStore]:
    app = build(settings, existing=True)
    store = SqliteStore(settings.store_path, app.key)
    try:
        yield store
    finally:
        store.close()


def _show(taken: Footprint) -> None:
    click.echo(f"{taken.calls} calls, {_size(taken.total_bytes)}:")
    click.echo(f"  {taken.segments} segments {_size(taken.segment_bytes)}, ", nl=False)
    click.echo(f"of which {_size(taken.garbage_bytes)} is garbage")
    click.echo(f"  index and documents {_size(taken.index_bytes)}, log {_size(taken.log_bytes)}")
    if taken.lost:
        named = f" Missing: {', '.join(taken.missing)}." if taken.missing else ""
        click.echo(f"{taken.lost} calls are LOST: their bodies are not in the segments.{named}")


def _tell(done: Upkeep) -> None:
    click.echo(f"{done.expired} calls were too old, {done.evicted} too many; they are removed.")
    click.echo(f"{done.compacted} segments rewritten, {done.moved} calls moved out of an older schema.")
    if done.resealed or done.keys_dropped:
        click.echo(f"{done.resealed} sealed with the current key; {done.keys_dropped} data keys dropped.")
    click.echo(f"{_size(done.bytes_before)} before, {_size(done.bytes_after)} now.")


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"
