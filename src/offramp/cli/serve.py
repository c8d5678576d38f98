"""`offramp serve`: the gateway."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import click

from offramp.access.guard import check_binding
from offramp.app import build
from offramp.app.queues import classes_of_keys
from offramp.app.security import keys_of, leave_no_core
from offramp.app.serving import Backstage
from offramp.app.teacher import check_teachers
from offramp.cli import options
from offramp.core.timeslice import shorten
from offramp.gateway.admin import Admin
from offramp.gateway.app import Gateway
from offramp.gateway.standings import Standings
from offramp.telemetry import configure_logs
from offramp.upstream.serving import Address, run, serve

if TYPE_CHECKING:
    from offramp.config import ScheduleSettings


@click.command("serve")
@click.option("--upstream", default=None, help="Base URL of the teacher.")
@click.option("--host", default=None, help="Address to listen on.")
@click.option("--port", type=int, default=None, help="Port to listen on; 0 takes a free one.")
@click.option("--no-record", is_flag=True, help="Record nothing.")
@click.option("--audit-rate", type=float, default=None, help="Share of answers to audit.")
@options.base
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    upstream: str | None,
    host: str | None,
    port: int | None,
    audit_rate: float | None,
    base: str | None,
    *,
    no_record: bool,
    as_json: bool,
) -> None:
    """Stand between your agents and their LLM.

    Set the agents' OPENAI_BASE_URL to the address printed; nothing else changes.
    """
    settings = options.settings_of(
        ctx,
        gateway__upstream=upstream,
        gateway__host=host,
        gateway__port=port,
        certify__audit_rate=audit_rate,
        train__base=base,
        record__enabled=False if no_record else None,
    )
    check_teachers(settings.gateway)
    configure_logs(settings.telemetry.log, level=logging.WARNING)
    leave_no_core()
    shorten(inherited=False)
    app = build(settings)

    def ready(address: Address) -> None:
        click.echo(_announcement(address.url, settings.gateway.upstream, as_json=as_json))

    async def serving() -> None:
        async with Backstage(app) as backstage:
            gateway = Gateway(
                backstage.upstream,
                anthropic=backstage.anthropic,
                guard=backstage.guard,
                endpoints=Admin(app).endpoints(),
                router=backstage.router,
                tap=backstage.tap.put if settings.record.enabled else None,
                pseudonyms=app.pseudonyms,
                status=backstage.status,
                queue=backstage.queue,
                engines=backstage.engines,
                standings=_standings(settings.schedule) if backstage.scheduled else None,
            )
            try:
                await serve(gateway, host=settings.gateway.host, port=settings.gateway.port, on_ready=ready)
            finally:
                await gateway.aclose()

    try:
        # Without a store there are no keys, and a refusal should leave none behind.
        keys = len(keys_of(app).all()) if settings.store_path.exists() else 0
        check_binding(settings.gateway.host, keys)
        run(serving())
    finally:
        app.close()


def _standings(schedule: ScheduleSettings) -> Standings:
    return Standings(
        class_header=schedule.class_header,
        deadline_header=schedule.deadline_header,
        keys=classes_of_keys(schedule),
    )


def _announcement(url: str, upstream: str, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"url": url, "upstream": upstream})
    return (
        f"offramp forwards {url}/v1 to {upstream}.\n"
        f"Set OPENAI_BASE_URL={url}/v1 for your agents. Stop with Ctrl-C."
    )
