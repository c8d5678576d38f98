"""What is known of the configured base and of the models that could take its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.config.settings import ASSETS
from offramp.core.errors import BadInput, NotFound
from offramp.discover.assign import Assigner
from offramp.loop import state
from offramp.loop.bases import Load, fits, load_of, shape_of
from offramp.plan.devices import find_device
from offramp.plan.shape import read_shape
from offramp.select import Catalogue, Need, SmallModel, load_catalogue

if TYPE_CHECKING:
    from offramp.config import Settings
    from offramp.core.task import Task
    from offramp.loop.bases import Fit
    from offramp.plan.shape import ModelShape
    from offramp.storage.port import Store

NANO = str(ASSETS / "nano")
"""The bundled base."""

TYPICAL = Load(context=400, prompt=128, completion=48)
"""A task that nothing is known of."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What models are judged for.

    Attributes:
        device: Name of the device.
        engine: ``"embedded"`` or ``"server"``.
        load: What the task asks for.
    """

    device: str
    engine: str = "embedded"
    load: Load = TYPICAL


def judged(settings: Settings, wish: Wish) -> list[Fit]:
    """Judge every model of the catalogue, fastest first.

    Raises:
        NotFound: There is no such device.
        BadSetting: The file of models is none.
    """
    need = Need(context=0, device="", memory=0, engine=wish.engine)
    return fits(catalogue_of(settings), wish.load, find_device(wish.device), need)


def load_of_task(store: Store, name: str) -> tuple[Task, Load]:
    """Measure what the recorded calls of a discovered task ask for.

    Args:
        store: Holds tasks and calls.
        name: The task's id, slug or name.

    Raises:
        NotFound: There is no such task.
    """
    tasks, rules = state.load_tasks(store), state.load_assigner(store)
    found = next((task for task in tasks if name in task.names), None)
    if found is None or rules is None:
        raise NotFound(
            f"There is no task {name!r} among the {len(tasks)} discovered.",
            hint="`offramp tasks` lists them.",
        )
    assigner = Assigner.from_dict(rules)
    return found, load_of(call for call in store.calls() if assigner.assign(call.request) == found.id)


def catalogue_of(settings: Settings) -> Catalogue:
    """Read the models to choose from: those of ``train.models`` or the catalogue, and the bundled base.

    A file replaces the catalogue, so that nothing is fetched that its owner did not name; its models may
    have licences of the catalogue.

    Raises:
        BadSetting: The file of models is none.
    """
    bundled = {NANO: bundled_base()}
    if not settings.train.models:
        found = load_catalogue()
        return Catalogue(bundled | found.models, found.licences)
    path = Path(settings.train.models)
    found = load_catalogue(path)
    named = [str(row["name"]) for row in json.loads(path.read_text(encoding="utf-8")).get("models", [])]
    return Catalogue(bundled | {name: found.models[name] for name in named}, found.licences)


def bundled_base() -> SmallModel:
    """Describe the bundled base as the catalogue describes models."""
    config = json.loads((Path(NANO) / "config.json").read_text(encoding="utf-8"))
    shape = read_shape(config, name=NANO)
    return SmallModel(
        name=NANO,
        family=shape.family,
        parameters=shape.params,
        layers=shape.layers,
        hidden=shape.hidden,
        intermediate=shape.intermediate,
        heads=shape.heads,
        kv_heads=shape.kv_heads[0],
        head_dim=shape.head_dim,
        vocab=shape.vocab,
        tied=shape.tied,
        qkv_bias=shape.qkv_bias,
        qk_norm=shape.qk_norm,
        window=None,
        full_every=None,
        context=int(config["max_position_embeddings"]),
        chat=True,
        licence="apache-2.0",
        languages=("en",),
        languages_note="Generated English text only.",
        inferred="",
        tool_calling=False,
        released=None,
        sources={},
    )


def shape_named(base: str, settings: Settings) -> ModelShape:
    """Read the shape of a base: from its directory, else from the catalogue.

    Raises:
        NotFound: It is in neither.
        BadInput: Its directory holds no model whose shape is known.
    """
    config = Path(base) / "config.json"
    if config.is_file():
        return read_shape(json.loads(config.read_text(encoding="utf-8")), name=Path(base).name)
    return shape_of(catalogue_of(settings).find(base))


def base_shape(settings: Settings) -> ModelShape | None:
    """Read the shape of the configured base: from its directory, else from the catalogue.

    Returns:
        None where neither knows it, so that its costs cannot be modelled before they are measured.
    """
    try:
        return shape_named(settings.train.base, settings)
    except (BadInput, NotFound, ValueError):
        return None
