"""A placement: which engines run on which devices, with what of each; a plan decides it, others carry it out.

The planner makes it, `enforce` turns it into flags and manifests, the scheduler takes its limits from it, and
the simulator runs it. It holds sizes and names only, nothing that has to be looked up.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM pads adapter slots to (`--max-lora-rank`)."""


def slot_rank(largest: int) -> int | None:
    """Return the smallest rank of a slot that holds an adapter of a rank; None where no engine has one."""
    return next((rank for rank in LORA_RANKS if rank >= largest), None)


class Role(enum.StrEnum):
    """Whom an engine stands in for."""

    SMALL = "small"
    """Specialists."""
    LLM = "llm"
    """The LLM on a device of one's own: what the reserve is kept for."""


@dataclass(frozen=True, slots=True)
class PlacedDevice:
    """One device that is paid for.

    Attributes:
        kind: Name of its type in the devices file ("h100-80gb").
        node: The host it is in; tensor parallelism stays inside one.
        index: Its number on that host.
        profiles: MIG profiles it is cut into, in order of their placement; empty where it is not cut.
    """

    kind: str
    node: str = "node-0"
    index: int = 0
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of one device that one engine may use.

    Attributes:
        device: Index in `Placement.devices`.
        share: Share of its compute, above 0 and at most 1.
        profile: Which of the device's MIG profiles it is, by position; None where the device is not cut.
    """

    device: int
    share: float = 1.0
    profile: int | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter of an engine.

    Attributes:
        specialist: Id of the specialist; the model name it is asked by.
        rank: Its rank.
        path: Its directory; "" where it is not known yet.
    """

    specialist: str
    rank: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Bytes of an engine on each of its devices.

    Attributes:
        weights: Of the base.
        adapters: Of all adapter slots, each padded to the largest rank.
        fixed: Context, graphs, activations.
        kv: KV budget (`--kv-cache-memory-bytes`).
    """

    weights: int
    adapters: int
    fixed: int
    kv: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapters + self.fixed + self.kv


@dataclass(frozen=True, slots=True)
class PlacedEngine:
    """One engine process: a base with its adapters on one device, or on several in parallel.

    Attributes:
        name: Unique, and the same in the next plan where the engine stays ("qwen3-4b.0").
        base: Name or directory of the base, as the engine loads it.
        role: Whom it stands in for.
        slices: Where it runs; more than one is tensor parallelism.
        memory: What it holds on each of them.
        slots: Requests at once (`--max-num-seqs`).
        context: Longest request with its answer, tokens (`--max-model-len`).
        adapters: Those it may be asked for.
        loaded: Adapters on the device at once (`--max-loras`), at most as many as there are.
    """

    name: str
    base: str
    role: Role
    slices: tuple[Slice, ...]
    memory: EngineMemory
    slots: int
    context: int
    adapters: tuple[Adapter, ...] = ()
    loaded: int = 0

    @property
    def rank(self) -> int:
        """The rank that its adapter slots are padded to; 0 without adapters."""
        largest = max((adapter.rank for adapter in self.adapters), default=0)
        return (slot_rank(largest) or largest) if largest else 0


@dataclass(frozen=True, slots=True)
class Reserve:
    """What is kept for LLM calls on one's own devices, sized so that few of them wait.

    Attributes:
        slots: Requests at once.
        kv: Bytes of KV cache.
        share: Share of compute that LLM calls are guaranteed.
        wait_s: The wait in seconds that is exceeded
        probability: with at most this probability (Erlang C).
    """

    slots: int
    kv: int
    share: float
    wait_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Engines on devices.

    Attributes:
        devices: What is paid for.
        engines: What runs there.
        reserve: What is kept for LLM calls, None where the LLM is not on these devices.
        overflow: Bound on the probability that KV demand exceeds what a device has, in any window.
        price_per_hour: USD, used or not.
    """

    devices: tuple[PlacedDevice, ...]
    engines: tuple[PlacedEngine, ...]
    reserve: Reserve | None = None
    overflow: float = 0.0
    price_per_hour: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be carried out.

        Raises:
            BadInput: Two engines of one name, an engine without a device or on one that is not there, or a
                share that is none.
        """
        names = [engine.name for engine in self.engines]
        if len(names) != len(set(names)):
            raise BadInput(f"A placement has two engines of one name; they are {', '.join(sorted(names))}.")
        for engine in self.engines:
            if not engine.slices:
                raise BadInput(f"Engine {engine.name!r} is on no device.")
            for part in engine.slices:
                if not 0 <= part.device < len(self.devices) or not 0.0 < part.share <= 1.0:
                    raise BadInput(
                        f"Engine {engine.name!r} has share {part.share:g} of device {part.device}; "
                        f"shares are above 0 and at most 1, and there are {len(self.devices)} devices."
                    )

    def on(self, device: int) -> tuple[PlacedEngine, ...]:
        """Return the engines of a device."""
        return tuple(
            engine for engine in self.engines if any(part.device == device for part in engine.slices)
        )

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what `to_dict` wrote."""
        reserve = value.get("reserve")
        return cls(
            devices=tuple(
                PlacedDevice(**{**one, "profiles": tuple(one["profiles"])}) for one in value["devices"]
            ),
            engines=tuple(_engine(one) for one in value["engines"]),
            reserve=None if reserve is None else Reserve(**reserve),
            overflow=float(value["overflow"]),
            price_per_hour=float(value["price_per_hour"]),
        )


def _engine(value: JsonObject) -> PlacedEngine:
    parts = {
        "role": Role(value["role"]),
        "slices": tuple(Slice(**one) for one in value["slices"]),
        "memory": EngineMemory(**value["memory"]),
        "adapters": tuple(Adapter(**one) for one in value["adapters"]),
    }
    return PlacedEngine(**{**value, **parts})
