"""`offramp keys`: who may use this installation, and for what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from offramp.access.keys import Grant, Scopes
from offramp.access.roles import Action, Role
from offramp.app import build
from offramp.app.security import audit_of, keys_of
from offramp.cli import options
from offramp.cli.root import echo_json

if TYPE_CHECKING:
    from offramp.access.keys import Key
    from offramp.core.json import JsonObject


@click.group("keys")
def command() -> None:
    """Keys with roles: make one, list them, revoke one.

    Roles: agent (makes calls), viewer (status, tasks, metrics), curator (also reads, imports and exports
    calls), trainer (also converts), operator (also promotes and rolls back), admin (everything).
    A running gateway follows within a second. Once there is a key, no call goes without one.
    """


@command.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may do."
)
@click.option("--days", type=float, default=None, help="Days until it expires (default: never).")
@click.option("--path", "paths", multiple=True, help="Only paths that begin so: /v1/chat. Repeatable.")
@click.option("--model", "models", multiple=True, help="Only this model. Repeatable.")
@click.option("--per-minute", type=click.IntRange(min=0), default=0, help="Most calls a minute; 0: no limit.")
@click.option("--no-record", is_flag=True, help="Do not record its calls.")
@click.option("--no-train", is_flag=True, help="Do not train on its calls.")
@options.as_json
@click.pass_context
def add(
    ctx: click.Context,
    name: str,
    role: str,
    days: float | None,
    paths: tuple[str, ...],
    models: tuple[str, ...],
    per_minute: int,
    *,
    no_record: bool,
    no_train: bool,
    as_json: bool,
) -> None:
    """Make a key called NAME and show it, this once.

    Clients send it as x-offramp-key, or in the place of the provider's: Authorization: Bearer ofk_... or
    x-api-key.
    """
    grant = Grant(
        name=name,
        role=Role(role),
        days=days,
        scopes=Scopes(paths=paths, models=models),
        calls_per_minute=per_minute,
        record=not no_record,
        trainable=not no_train,
    )
    app = build(options.settings_of(ctx))
    try:
        key, text = keys_of(app).add(grant)
        audit_of(app).write(Action.KEYS, f"add {key.id} ({key.role})")
    finally:
        app.close()
    if as_json:
        echo_json({**_shown(key), "key": text})
        return
    click.echo(text)
    click.echo(
        f"Key {key.id} for {key.name!r}, role {key.role}. It is shown this once: keep it now.", err=True
    )


@command.command("list")
@options.as_json
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """List all keys, those that were revoked or have expired too."""
    app = build(options.settings_of(ctx), existing=True)
    try:
        keys, used = keys_of(app).all(), keys_of(app).last_used()
    finally:
        app.close()
    if as_json:
        echo_json([{**_shown(key), "last_used": used.get(key.id)} for key in keys])
        return
    if not keys:
        click.echo("There are no keys: the gateway serves this machine only, and whoever is on it.")
        return
    now = datetime.now(UTC).timestamp()
    click.echo(f"{'id':<10}  {'role':<8}  {'made':<10}  {'last used':<16}  {'state':<11}  name")
    for key in keys:
        state = key.refusal(now).removeprefix("was ").removeprefix("has ") or "holds"
        hour = _time(used.get(key.id), "%Y-%m-%d %H:00")
        click.echo(f"{key.id}  {key.role:<8}  {_time(key.created)}  {hour:<16}  {state:<11}  {key.name}")


@command.command("revoke")
@click.argument("key")
@options.as_json
@click.pass_context
def revoke(ctx: click.Context, key: str, *, as_json: bool) -> None:
    """Revoke KEY, an id or a name. Running gateways refuse it within a second."""
    app = build(options.settings_of(ctx), existing=True)
    try:
        revoked = keys_of(app).revoke(key)
        audit_of(app).write(Action.KEYS, f"revoke {revoked.id}")
    finally:
        app.close()
    if as_json:
        echo_json(_shown(revoked))
        return
    click.echo(f"Key {revoked.id} ({revoked.name}) is revoked.")


def _shown(key: Key) -> JsonObject:
    return {name: value for name, value in key.to_dict().items() if name != "hash"}


def _time(at: float | None, form: str = "%Y-%m-%d") -> str:
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime(form)
