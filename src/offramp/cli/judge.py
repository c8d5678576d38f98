"""`offramp judge`: who decides whether free texts agree, and how often that judge is wrong."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from offramp.access.roles import Action
from offramp.app import build
from offramp.app.judging import keep_error, task_id
from offramp.app.labelling import write_pairs
from offramp.app.security import audit_of
from offramp.certify.judge import judge_error
from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.core.errors import BadSetting, UpstreamError
from offramp.loop.labelled import read_labelled


@click.group("judge")
def command() -> None:
    """The judge of free text: measure it before it may decide.

    The setting judge.model sets one up.
    """


@command.command("sample")
@click.argument("task")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write (JSONL).")
@click.option("--pairs", type=click.IntRange(min=1), default=300, show_default=True, help="Pairs at most.")
@options.as_json
@click.pass_context
def sample(ctx: click.Context, task: str, out: Path, pairs: int, *, as_json: bool) -> None:
    """Write pairs of answers to recorded calls of TASK, for people to label.

    Each line holds a request, the LLM's answer and a candidate's that reads otherwise; put true or false in
    the place of "same": null, then measure the judge: offramp judge check. What is written is masked, as it
    is stored; reading it is entered in the audit log.
    """
    app = build(options.settings_of(ctx), existing=True)
    try:
        written = write_pairs(app, task, out, pairs, options.progress_line())
    finally:
        app.close()
    if as_json:
        echo_json({"written": len(written.rows), "kinds": written.kinds, "file": str(out)})
        return
    kinds = ", ".join(f"{count} by {kind}" for kind, count in written.kinds.items() if count)
    click.echo(f"Wrote {len(written.rows)} pairs to {out} ({kinds}).")
    click.echo('Next: put true or false in the place of each "same": null; offramp judge check ' + str(out))


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--task", default=None, help="Whose answers were labelled: id, slug or name (default: all).")
@options.as_json
@click.pass_context
def check(ctx: click.Context, file: Path, task: str | None, *, as_json: bool) -> None:
    """Let the judge decide the labelled pairs of FILE (JSONL), and keep how often it was wrong.

    A line holds a request, two answers and whether they are the same: {"request": ..., "teacher": ...,
    "ours": ..., "same": false}. What counts is how many labelled disagreements it misses.
    """
    settings = options.settings_of(ctx)
    labelled = read_labelled(file)
    app = build(settings)
    try:
        judge = app.judge
        if judge is None:
            raise BadSetting("No judge is set up.", hint="Set judge.model (OFFRAMP_JUDGE_MODEL).")
        if task is not None:
            task_id(app.store, task)
        error = judge_error(judge, labelled)
        if judge.unreached:
            raise UpstreamError(
                f"The judge gave no answer to {judge.unreached} of {judge.asked} pairs, so nothing was kept.",
                hint="Try again.",
            )
        kept = keep_error(app.store, error, task)
        audit_of(app).write(Action.CONVERT, f"judge {judge.name} measured for {kept}")
    finally:
        app.close()
    delta = settings.certify.delta
    bound = error.miss_upper(delta / 2)
    if as_json:
        echo_json({**asdict(error), "task": kept, "miss_upper": bound, "delta": delta / 2})
        return
    click.echo(
        f"{error.judge} took {error.missed} of {error.disagreements} labelled disagreements for the same "
        f"(at most {bound:.1%} at confidence {1 - delta / 2:.1%}), and {error.refused} of "
        f"{error.agreements} labelled agreements for different."
    )
    alpha = settings.certify.alpha
    if bound >= 1.0:
        click.echo("That bounds nothing: it certifies nothing. Label more pairs that differ.")
        return
    click.echo(f"A promise of {alpha:.1%} will be tested as {alpha * (1 - bound):.2%} of disagreements seen.")
