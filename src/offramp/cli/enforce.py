"""`offramp enforce`: a placement carried out: command lines, manifests, engines that are kept up."""

from __future__ import annotations

from pathlib import Path

import click

from offramp.cli import options
from offramp.cli.root import echo_json
from offramp.enforce import NAMES, Options, backend_of
from offramp.enforce.files import read_placement, write_emission
from offramp.enforce.options import ENGINES

PLACEMENT = click.argument("placement", type=click.Path(path_type=Path))
_BACKEND = click.Choice(NAMES)


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
