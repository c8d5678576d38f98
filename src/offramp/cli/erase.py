"""`offramp erase`: a person's calls out of the store, and the proof of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from offramp.app import build
from offramp.app.erasure import erase, retire_marked
from offramp.cli import options
from offramp.cli.root import echo_json

if TYPE_CHECKING:
    from offramp.app.build import App
    from offramp.app.erasure import Erasure

_LEFT_OVER = 1


@click.command("erase")
@click.option("--subject", default=None, help="Address, number, name, id or key; - reads it from stdin.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--whole-sessions", is_flag=True, help="Also the other calls of sessions that hold a trace.")
@click.option("--retire", is_flag=True, help="Take specialists fitted on these calls out of service now.")
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    subject: str | None,
    *,
    dry_run: bool,
    whole_sessions: bool,
    retire: bool,
    as_json: bool,
) -> None:
    """Remove every call of a person, say what was built from them, and prove that nothing is left.

    Calls are found by the pseudonyms and surrogates of the value, and by the value itself. Specialists that
    were fitted on them are marked for retraining and serve until then; caches hold answers word for word
    and go at once. --retire without --subject takes out what earlier erasures marked. Exit code 1: traces
    are left.
    """
    if subject is None and not retire:
        raise click.UsageError("Give --subject, or --retire to take out what is marked for retraining.")
    app = build(options.settings_of(ctx), existing=True)
    try:
        if subject is None:
            _retire(app, as_json=as_json)
            return
        value = sys.stdin.readline() if subject == "-" else subject
        done = erase(app, value, dry_run=dry_run, whole_sessions=whole_sessions, retire=retire)
    finally:
        app.close()
    if as_json:
        echo_json(done.to_dict())
    else:
        _tell(done)
    sys.exit(0 if done.proof is None or done.proof.clean else _LEFT_OVER)


def _retire(app: App, *, as_json: bool) -> None:
    retired = retire_marked(app)
    if as_json:
        echo_json({"retired": retired})
        return
    click.echo(f"Retired: {', '.join(retired) or 'nothing is marked for retraining'}.")


def _tell(done: Erasure) -> None:
    found = done.found
    by = ", ".join(f"{number} by {reason}" for reason, number in sorted(found.reasons.items()))
    removed = "Nothing was removed: a dry run." if done.proof is None else f"Removed {done.removed}."
    click.echo(f"Found {len(found.ids)} calls{f' ({by})' if by else ''}. {removed}")
    if found.beside:
        click.echo(
            f"{len(found.beside)} other calls of their sessions hold no trace; --whole-sessions takes them."
        )
    for one in done.built:
        parts = ", ".join(f"{number} {part}" for part, number in one.calls.items() if number)
        click.echo(f"Dataset {one.dataset} ({one.name}): {parts} calls")
    for specialist in done.certificates:
        click.echo(f"Certificate of {specialist}: reckoned from some of them; it holds counts only")
    for fitted in done.specialists:
        calls = "on calls that nobody wrote down" if fitted.calls is None else f"on {fitted.calls} of them"
        click.echo(f"Specialist {fitted.id} was fitted {calls}: {_fate(done, fitted.id)}")
        for file in fitted.files:
            click.echo(f"    {file}")
    _tell_proof(done)


def _fate(done: Erasure, specialist: str) -> str:
    if done.proof is None:
        return "it would be marked for retraining, or retired"
    if specialist in done.retired:
        return "retired, its folder removed"
    return "marked for retraining: offramp convert, offramp promote, offramp erase --retire"


def _tell_proof(done: Erasure) -> None:
    proof = done.proof
    if proof is None:
        return
    where = (
        f"{proof.searched_calls} calls (decrypted), all documents and {proof.searched_files} files "
        f"({proof.searched_bytes:,} bytes)"
    )
    if proof.clean:
        click.echo(f"Proof: no trace is left in {where}.")
        return
    click.echo(f"TRACES ARE LEFT, after a search of {where}:", err=True)
    if proof.calls:
        click.echo(f"    {proof.calls} calls, made since or still in flight: run it again.", err=True)
    for name in proof.documents:
        click.echo(f"    document {name}: `offramp tasks` and `offramp convert` write it anew.", err=True)
    for hit in proof.files:
        click.echo(f"    {hit.path}: {hit.what}", err=True)
