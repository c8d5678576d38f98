"""Files and measurements put together for a fleet plan."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.fleet_demand import demand_of
from offramp.app.models import shape_named
from offramp.core.errors import BadInput, NotFound
from offramp.enforce.files import read_placement
from offramp.enforce.measured import capabilities_of
from offramp.enforce.port import Level
from offramp.enforce.throughput import read_profiles
from offramp.plan.choose import Chooser
from offramp.plan.demand import read_demand
from offramp.plan.devices import load_devices
from offramp.plan.fleet import ANY, Sharing, read_fleet
from offramp.plan.fleet_plan import plan_fleet
from offramp.plan.replan import Switching, replan
from offramp.plan.shape import read_shape
from offramp.plan.sizing import modelled
from offramp.plan.speed import fitted

if TYPE_CHECKING:
    from offramp.config import Settings
    from offramp.core.json import JsonObject
    from offramp.enforce.throughput import Profile
    from offramp.plan.demand import Demand
    from offramp.plan.fleet import Fleet, Stock
    from offramp.plan.fleet_plan import FleetPlan
    from offramp.plan.load import Group
    from offramp.plan.shape import ModelShape
    from offramp.plan.sizing import Speeds
    from offramp.plan.speed import Speed
    from offramp.storage.port import Store

INTERFERENCE = 1.3
"""Factor on the times of engines that share a device whose backend keeps shares on average only: between the
largest slowdown that counts as hard (1.15) and as soft (1.6)."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a fleet plan is asked for.

    Attributes:
        fleet: File of the fleet, or "any".
        demand: File of the demand; None for what the store has measured.
        profiles: File that `offramp probe` wrote; None for the roofline alone.
        objective_s: Seconds that calls of the store may take; the teacher's own where not given.
        present: File of the present placement; None to plan from nothing.
        switching: What changing it costs; the defaults where not given.
        effort: Deterministic seconds of the exact solver; 0 for greedy.
    """

    fleet: str
    demand: Path | None
    profiles: Path | None = None
    objective_s: float | None = None
    present: Path | None = None
    switching: Switching | None = None
    effort: float = 0.0


def make_fleet_plan(question: Question, settings: Settings, store: Store | None = None) -> FleetPlan:
    """Plan a fleet.

    Args:
        question: What is asked.
        settings: The base, prices, where probes left what they measured.
        store: Where the demand comes from if no file has it.

    Raises:
        NotFound: A file, a device or a base is not there.
        BadInput: A file is not what it has to be.
    """
    raw: JsonObject = {"devices": ANY} if question.fleet == ANY else read_table(Path(question.fleet))
    given = {name: read_shape(config, name=name) for name, config in raw.pop("bases", {}).items()}
    fleet = _shared(read_fleet(raw, load_devices()), settings)
    demand, notes = _demand(question, settings, store)
    shapes = _shapes(demand, fleet, given, settings)
    speeds = speeds_of(question.profiles)
    if question.present is None:
        planned = plan_fleet(demand, fleet, shapes, speeds, effort=question.effort)
    else:
        present = read_placement(question.present)
        switching = question.switching or Switching()
        planned = replan(Chooser(demand, fleet, shapes, speeds), present, switching)
    return replace(planned, notes=(*planned.notes, *notes))


def _demand(question: Question, settings: Settings, store: Store | None) -> tuple[Demand, tuple[str, ...]]:
    if question.demand is not None:
        return read_demand(read_table(question.demand)), ()
    if store is None:
        raise BadInput("A fleet is planned for a demand.", hint="Name it with --demand FILE.")
    return demand_of(store, settings, objective_s=question.objective_s)


def read_table(path: Path) -> JsonObject:
    """Read a JSON or TOML file.

    Raises:
        NotFound: There is no such file.
        BadInput: It is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", hint="examples/plan/ shows some.") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is neither JSON nor, by its name, TOML: {error}.") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds a {type(value).__name__}; a table of names is needed.")
    return value


def sharing_of(backend: str, device: str, measured: Path | None) -> Sharing:
    """Say how engines share a kind of device, by what its backend guarantees and what was measured of it.

    Raises:
        BadInput: There is no such backend.
    """
    levels = capabilities_of(backend, device, measured)
    return Sharing(
        compute=INTERFERENCE if levels.compute is Level.SOFT else 1.0,
        shares=levels.compute is not Level.NONE,
        bandwidth=levels.bandwidth is Level.HARD,
        profiles=backend == "mig",
    )


def speeds_of(file: Path | None) -> Speeds:
    """Give measured speeds where there are some, the roofline's elsewhere."""
    profiles = {(one.model, one.device): one for one in read_profiles(file)} if file is not None else {}

    def speed(group: Group, stock: Stock) -> Speed:
        roofline = modelled(group, stock)
        if group.parallel > 1:
            return roofline
        names = [member.specialist for member in group.members if member.rank]
        found = next(
            (profiles[key] for name in names if (key := (name, stock.device.name)) in profiles), None
        )
        if found is not None:
            return _measured(roofline, found, through_adapter=True)
        base = profiles.get((group.base_name, stock.device.name))
        return roofline if base is None else _measured(roofline, base, through_adapter=False)

    return speed


def _measured(roofline: Speed, profile: Profile, *, through_adapter: bool) -> Speed:
    return fitted(
        roofline,
        prompt_tokens_per_s=profile.prefill_tokens_per_s,
        steps=[(step.batch, step.step_s) for step in profile.decode],
        through_adapter=through_adapter,
    )


def _shared(fleet: Fleet, settings: Settings) -> Fleet:
    measured = settings.home / "enforce" / "isolation.json"
    stocks = (
        replace(stock, sharing=sharing_of(fleet.backend, stock.device.name, measured))
        for stock in fleet.stocks
    )
    return replace(fleet, stocks=tuple(stocks))


def _shapes(
    demand: Demand, fleet: Fleet, given: dict[str, ModelShape], settings: Settings
) -> dict[str, ModelShape]:
    names = {*demand.bases, *(() if fleet.llm is None else (fleet.llm.base,))}
    return {name: given.get(name) or shape_named(name, settings) for name in sorted(names)}
