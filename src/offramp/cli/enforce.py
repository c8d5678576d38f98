"""`offramp enforce`: a placement carried out: command lines, manifests, engines that are kept up."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.core.errors import BadInput, EngineError
from offramp.enforce import NAMES, Options, backend_of, host, local_backend
from offramp.enforce.catalogue import LOCAL
from offramp.enforce.files import read_placement, write_emission
from offramp.enforce.isolation import Plan
from offramp.enforce.isolation import probe as run_probe
from offramp.enforce.keeper import Pace
from offramp.enforce.local import on_node
from offramp.enforce.measured import add, capabilities_of
from offramp.enforce.options import ENGINES
from offramp.enforce.state import State, Wanted
from offramp.enforce.supervisor import look
from offramp.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from offramp.core.placement import Placement
    from offramp.enforce.state import Record

PLACEMENT = click.argument("placement", type=click.Path(path_type=Path))
_ADAPTERS = click.option(
    "--adapters", default="", help="Folder of adapters whose directories the placement does not name."
)
_BACKEND, _LOCAL = click.Choice(NAMES), click.Choice(LOCAL)


@click.group("enforce")
def command() -> None:
    """Carry out a placement: command lines and manifests, or engines on this machine."""


@command.command("backends")
@options.as_json
def backends(*, as_json: bool) -> None:
    """List the backends with what each guarantees between engines on one device."""
    known = {name: backend_of(name).capabilities().to_dict() for name in NAMES}
    if as_json:
        echo_json(known)
        return
    heads = list(next(iter(known.values())))
    click.echo(f"{'backend':<18}" + "".join(f"{head:<13}" for head in heads).rstrip())
    for name, levels in known.items():
        click.echo(f"{name:<18}" + "".join(f"{levels[head]:<13}" for head in heads).rstrip())


@command.command("emit")
@PLACEMENT
@click.option("--backend", type=_BACKEND, default="plain", show_default=True, help="What gives the parts.")
@click.option("--engine", type=click.Choice(ENGINES), default="vllm", show_default=True, help="Program.")
@_ADAPTERS
@click.option("--out", type=click.Path(path_type=Path), help="Write the files into this folder.")
@click.option("--image", default="", help="Container image in manifests; the engine's own by default.")
@click.option("--namespace", default="default", show_default=True, help="Kubernetes namespace.")
@click.option("--models-claim", default="", help="PersistentVolumeClaim that holds bases and adapters.")
@click.option("--models-path", default="/models", show_default=True, help="Where it is mounted.")
@click.option("--lora-path", default="", help="Folder or bucket of adapters, for Ray.")
@click.option("--queue", default="offramp", show_default=True, help="Queue of the KAI scheduler.")
@click.option("--pin-nodes", is_flag=True, help="Bind pods to the placement's host names.")
@options.as_json
def emit(
    placement: Path,
    *,
    backend: str,
    engine: str,
    adapters: str,
    out: Path | None,
    image: str,
    namespace: str,
    models_claim: str,
    models_path: str,
    lora_path: str,
    queue: str,
    pin_nodes: bool,
    as_json: bool,
) -> None:
    """Write down how a placement is carried out, without doing it."""
    chosen = Options(
        engine=engine,
        adapters=adapters,
        image=image,
        namespace=namespace,
        models_claim=models_claim,
        models_path=models_path,
        lora_path=lora_path,
        queue=queue,
        pin_nodes=pin_nodes,
    )
    emission = backend_of(backend).emit(read_placement(placement), chosen)
    written = write_emission(emission, out) if out else []
    if as_json:
        echo_json(emission.to_dict())
        return
    for path in written:
        click.echo(str(path))
    if not out:
        for file in emission.files:
            click.echo(f"# {file.path}\n{file.text}", nl=False)
    for note in emission.notes:
        click.echo(f"Note: {note}", err=True)


@command.command("apply")
@PLACEMENT
@click.option(
    "--backend", type=click.Choice(LOCAL), default="plain", show_default=True, help="Gives the parts."
)
@click.option("--engine", type=click.Choice(ENGINES), default="vllm", show_default=True, help="Program.")
@_ADAPTERS
@click.option("--program", default="", help="Command that starts the engine, where it is another.")
@click.option("--flag", "flags", multiple=True, help="Flag at the end of every engine's command line.")
@click.option("--node", default=None, help="Which host of the placement this is; the only one by default.")
@click.option("--first-port", type=click.IntRange(1, 65_535), default=8500, show_default=True)
@click.option("--watch", is_flag=True, help="Keep the engines up until interrupted; they go on after that.")
@click.option(
    "--attempts", type=click.IntRange(1), default=3, show_default=True, help="Starts before giving up."
)
@click.option("--drain", type=click.FloatRange(0), default=60.0, help="Seconds for requests in flight.")
@click.option("--start", type=click.FloatRange(0), default=1800.0, help="Seconds that a start may take.")
@options.as_json
@click.pass_context
def apply(
    ctx: click.Context,
    placement: Path,
    *,
    backend: str,
    engine: str,
    adapters: str,
    program: str,
    flags: tuple[str, ...],
    node: str | None,
    first_port: int,
    watch: bool,
    attempts: int,
    drain: float,
    start: float,
    as_json: bool,
) -> None:
    """Start, stop and change engines on this machine until they are what a placement says.

    What is as it should be is left alone. Engines go on when this command ends.
    """
    chosen = Options(
        engine=engine,
        adapters=adapters,
        program=tuple(shlex.split(program)),
        extra=flags,
        first_port=first_port,
    )
    wanted = Wanted(_here(read_placement(placement), node), backend, chosen)
    pace = Pace(drain_s=drain, start_s=start, attempts=0 if watch else attempts)

    def told(records: dict[str, Record]) -> None:
        _tell(records, as_json=as_json)

    state = _state(ctx)
    if watch:
        configure_logs(options.settings_of(ctx).telemetry.log)
    records = asyncio.run(host.apply(state, wanted, pace, watch=watch, told=told))
    amiss = [name for name, record in records.items() if record.state != "healthy"]
    if amiss:
        raise EngineError(f"Not up: {', '.join(amiss)}.", hint=f"Their output is in {state.folder / 'logs'}.")


@command.command("status")
@options.as_json
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> None:
    """Look at every engine: is it there, is it well, does it have the adapters and the part it should."""
    state = _state(ctx)
    seen = asyncio.run(look(state))
    if as_json:
        engines = {name: asdict(one) for name, one in seen.items()}
        echo_json({"supervised": state.is_held(), "engines": engines})
        return
    click.echo("A supervisor keeps these up." if state.is_held() else "Nobody keeps these up.")
    for name, one in seen.items():
        line = (
            f"{name}: {one.word}, port {one.record.port}, pid {one.record.pid}, {one.processes} process(es)"
        )
        line += f", {one.record.restarts} restart(s)" if one.record.restarts else ""
        line += f", without adapters {', '.join(one.missing)}" if one.missing and one.healthy else ""
        line += f", not set: {', '.join(one.unmet)}" if one.unmet else ""
        click.echo(line + (f": {one.record.reason}" if one.record.reason else ""))


@command.command("stop")
@click.option("--drain", type=click.FloatRange(0), default=60.0, help="Seconds for requests in flight.")
@click.pass_context
def stop(ctx: click.Context, *, drain: float) -> None:
    """Let engines finish what they have, end them, and make the devices as they were."""
    state = _state(ctx)
    asyncio.run(host.stop(state, Pace(drain_s=drain)))
    click.echo("No engine runs.")


def _state(ctx: click.Context) -> State:
    return State(options.settings_of(ctx).home / "enforce")


def _here(placement: Placement, node: str | None) -> Placement:
    """Take this host's part of a placement."""
    nodes = sorted({device.node for device in placement.devices})
    if node is None and len(nodes) > 1:
        raise BadInput(
            f"The placement is for {', '.join(nodes)}.", hint="Say which of them this is with --node."
        )
    return on_node(placement, node or nodes[0]) if nodes else placement


def _tell(records: dict[str, Record], *, as_json: bool) -> None:
    if as_json:
        echo_json({name: asdict(record) for name, record in records.items()})
        return
    for name, record in records.items():
        why = f": {record.reason}" if record.reason else ""
        click.echo(f"{name}: {record.state}, http://127.0.0.1:{record.port}/v1{why}")


@command.command("probe")
@click.option("--backend", type=_LOCAL, default="plain", show_default=True, help="What is to keep apart.")
@click.option("--device", required=True, help="Kind of the device, as placements name it.")
@click.option("--gpu", is_flag=True, help="Probe a GPU (needs torch); the processor by default.")
@click.option("--index", type=click.IntRange(0), default=0, help="Number of the GPU.")
@click.option("--share", type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True), default=0.5)
@click.option("--profiles", default="", help="MIG profiles of victim and neighbours: 3g.40gb,2g.20gb.")
@click.option("--neighbours", type=click.IntRange(1), default=2, show_default=True, help="Processes of each.")
@click.option("--seconds", type=click.FloatRange(0.05), default=1.0, help="Length of one measurement.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Measurements of each.")
@options.as_json
@click.pass_context
def probe(
    ctx: click.Context,
    *,
    backend: str,
    device: str,
    gpu: bool,
    index: int,
    share: float,
    profiles: str,
    neighbours: int,
    seconds: float,
    repeats: int,
    as_json: bool,
) -> None:
    """Measure whether a backend really keeps engines apart: a victim alone, then beside neighbours.

    What it finds is kept, and lowers what plans count on; it never raises it.
    """
    plan = Plan(
        device,
        cuda=gpu,
        index=index,
        share=share,
        neighbours=neighbours,
        seconds=seconds,
        repeats=repeats,
        profiles=tuple(profiles.split(",")) if profiles else (),
    )
    found = run_probe(local_backend(backend), plan, Options(), told=options.progress_line())
    file = _state(ctx).folder / "isolation.json"
    add(file, found)
    stands = capabilities_of(backend, device, file).to_dict()
    if as_json:
        echo_json({**asdict(found), "capabilities": stands})
        return
    click.echo(f"{'neighbour':<12}{'slowdown':>9}{'tail':>8}{'share':>8}{'others':>8}  level")
    for row in found.rows:
        level = str(row.level) if row.steady else "unknown: the machine was busy"
        figures = f"{row.slowdown:>9.2f}{row.tail:>8.2f}{row.share:>8.2f}{row.foreign:>8.2f}"
        click.echo(f"{row.neighbour:<12}{figures}  {level}")
    click.echo(f"{backend} on {device} counts as: {', '.join(f'{k} {v}' for k, v in stands.items())}")
