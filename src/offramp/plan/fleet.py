"""What there is to place engines on: kinds of devices with counts and prices, and how they are shared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.json import JsonObject
    from offramp.plan.devices import Device

ANY = "any"
"""Devices of a fleet file that names none: every GPU of the table, as many as needed."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How engines share one device, by what the backend guarantees.

    Attributes:
        compute: Factor on all times of an engine that has neighbours.
        shares: Whether engines can be held to their shares of the compute; else they take turns.
        bandwidth: Whether each has its own part of the memory bandwidth.
        profiles: Whether devices are cut into instances (MIG) instead of shares.
    """

    compute: float = 1.0
    shares: bool = True
    bandwidth: bool = False
    profiles: bool = False


@dataclass(frozen=True, slots=True)
class Stock:
    """One kind of device that may be paid for.

    Attributes:
        device: Its sizes, speeds and price.
        count: How many there are; None for as many as needed.
        per_node: How many one host has.
        sharing: How engines share one.
    """

    device: Device
    count: int | None = None
    per_node: int = 8
    sharing: Sharing = Sharing()

    @property
    def memory(self) -> float:
        """Bytes that plans fill; the rest is for what the model of the fixed part gets wrong."""
        return self.device.memory * MEMORY_FILL


MEMORY_FILL = 0.95
"""Share of a device's memory that plans fill (docs/memory-model.md: the fixed part is off by up to 1 GiB)."""


@dataclass(frozen=True, slots=True)
class OwnLlm:
    """An LLM on the fleet's own devices.

    Attributes:
        base: Name of its weights.
        parallel: Devices that one replica spans.
        objective_s: Seconds from arrival to the last token that are allowed.
        wait_s: The wait for a slot that may be exceeded
        probability: with at most this probability (Erlang C).
    """

    base: str
    parallel: int = 1
    objective_s: float = 60.0
    wait_s: float = 1.0
    probability: float = 0.01

    def __post_init__(self) -> None:
        if self.parallel < 1 or min(self.objective_s, self.wait_s) <= 0 or not 0 < self.probability < 1:
            raise BadInput(
                f"The LLM has parallel {self.parallel}, objective {self.objective_s:g} s, wait "
                f"{self.wait_s:g} s and probability {self.probability:g}; "
                "allowed are 1 or more, above 0, above 0, in (0, 1)."
            )


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything a plan may use, and what it has to promise.

    Attributes:
        stocks: Kinds of devices, at least one.
        overflow: Probability, at most, that the KV demand on a device exceeds what its engines have.
        within: Share of each task's calls that has to meet its objective.
        backend: Name of what divides the devices.
        llm: The LLM on these devices; None where it is a provider's.
        most_adapters: Adapters of one engine.
    """

    stocks: tuple[Stock, ...]
    overflow: float = 0.001
    within: float = 0.99
    backend: str = "mps"
    llm: OwnLlm | None = None
    most_adapters: int = 32

    def __post_init__(self) -> None:
        kinds = [stock.device.name for stock in self.stocks]
        if not kinds or len(kinds) != len(set(kinds)):
            raise BadInput(f"A fleet needs kinds of devices, each once; given are {kinds}.")
        if not (0 < self.overflow < 1 and 0.5 <= self.within <= 0.999) or self.most_adapters < 1:
            raise BadInput(
                f"A fleet has overflow {self.overflow:g}, within {self.within:g} and {self.most_adapters} "
                "adapters an engine; allowed are in (0, 1), in [0.5, 0.999], 1 or more."
            )

    def stock(self, kind: str) -> Stock:
        """Return what there is of one kind.

        Raises:
            NotFound: Nothing.
        """
        for stock in self.stocks:
            if stock.device.name == kind:
                return stock
        known = ", ".join(stock.device.name for stock in self.stocks)
        raise NotFound(f"The fleet has no device {kind!r}; it has {known}.")


_FLEET = ("devices", "overflow", "within", "backend", "llm", "most_adapters")
_STOCK = ("kind", "count", "per_node", "price_per_hour")


def read_fleet(value: Mapping[str, object], table: Mapping[str, Device]) -> Fleet:
    """Read a fleet from JSON or TOML.

    Args:
        value: The decoded file.
        table: Known devices by name.

    Raises:
        BadInput: A field is missing, unknown or not what it has to be.
        NotFound: A kind of device is not in the table.
    """
    unknown = sorted(set(value) - set(_FLEET))
    if unknown:
        raise BadInput(f"The fleet has {unknown}; allowed are {', '.join(_FLEET)}.")
    facts = {name: value[name] for name in _FLEET if name in value and name not in ("devices", "llm")}
    llm = value.get("llm")
    try:
        return Fleet(
            stocks=_stocks(value.get("devices"), table),
            llm=OwnLlm(**llm) if isinstance(llm, dict) else None,
            **facts,  # type: ignore[arg-type]
        )
    except TypeError as error:
        raise BadInput(
            f"The fleet cannot be read: {error}.", hint="examples/plan/fleet.toml shows one."
        ) from error


def _stocks(rows: object, table: Mapping[str, Device]) -> tuple[Stock, ...]:
    if rows == ANY:
        return tuple(Stock(device) for device in table.values() if device.kind == "gpu")
    if not isinstance(rows, list):
        raise BadInput(f'The fleet\'s devices are {rows!r}; a list of kinds is needed, or "{ANY}".')
    return tuple(_stock(row, table) for row in rows)


def _stock(row: JsonObject, table: Mapping[str, Device]) -> Stock:
    unknown = sorted(set(row) - set(_STOCK))
    if unknown:
        raise BadInput(f"A device of the fleet has {unknown}; allowed are {', '.join(_STOCK)}.")
    kind = str(row.get("kind", ""))
    if kind not in table:
        raise NotFound(
            f"There is no device {kind!r}; known are {', '.join(sorted(table))}.",
            hint="Describe yours in a devices file.",
        )
    device = table[kind]
    if "price_per_hour" in row:
        device = replace(device, price_per_hour=float(row["price_per_hour"]))
    count = row.get("count")
    per_node = int(row.get("per_node", 8))
    if (count is not None and int(count) < 0) or per_node < 1 or device.price_per_hour < 0:
        raise BadInput(
            f"Device {kind!r} has count {count}, per_node {per_node} and {device.price_per_hour:g} USD/h; "
            "allowed are 0 or more, 1 or more, 0 or more."
        )
    return Stock(device, None if count is None else int(count), per_node)
