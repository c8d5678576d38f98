"""What one call of a candidate costs: seconds, money and memory, modelled until they are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from offramp.core.render import payload_of
from offramp.plan import memory
from offramp.plan.compute import request_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.dataset import Item
    from offramp.plan.devices import Device
    from offramp.plan.prices import ModelPrice
    from offramp.plan.shape import ModelShape

HOUR_S = 3600

CHARACTERS_PER_TOKEN = 4
"""Of text that no tokenizer has counted: an assumption for English."""

# all-MiniLM-L6-v2: weights of its six layers (the embedding table is looked up, not multiplied), of all of
# it in bytes, the tokens that a text is cut at, and the width of its vectors.
_ENCODER_WEIGHTS = 10_646_784
_ENCODER_BYTES = 90_900_000
_ENCODER_TOKENS = 128
_DIMENSIONS = 384
_SINGLE = 4
# Tokenizing and dispatching a hundred small operations, whatever the text; measured, see docs/candidates.md.
_ENCODER_OVERHEAD_S = 0.012


@dataclass(frozen=True, slots=True)
class Site:
    """Where a candidate is to run, and on what calls.

    Attributes:
        device: The device.
        prompt: Tokens of a typical request as the teacher reads it, the static prompt included.
        payload: Tokens of its variable part, which is all that most candidates read.
        completion: Tokens of a typical answer.
        calls: Training calls.
        tasks: Tasks that share them; a call concerns one.
        base: Shape of the base that adapters run on; None where it is not known.
        price: Price of the LLM that is asked; None where it is not known.
        latency: Measured seconds of the teacher's typical answer; None where nobody measured.
    """

    device: Device
    prompt: int
    payload: int
    completion: int
    calls: int = 0
    tasks: int = 1
    base: ModelShape | None = None
    price: ModelPrice | None = None
    latency: float | None = None

    @property
    def rate(self) -> float:
        """USD for a second of the device."""
        return self.device.price_per_hour / HOUR_S


@dataclass(frozen=True, slots=True)
class Running:
    """What one call costs.

    Attributes:
        seconds: From question to answer.
        busy: Of those, seconds that the device is busy with it; 0 where a provider computes.
        billed: USD that a provider bills.
        rate: USD for a second of the device.
        memory: Bytes on the device, with encoder and base, which others may share.
        basis: What the seconds rest on, in words.
        measured: Whether they were measured.
    """

    seconds: float
    busy: float
    billed: float
    rate: float
    memory: int
    basis: str
    measured: bool = False

    @property
    def usd(self) -> float:
        """USD of one call: the device while it is busy, and the provider."""
        return self.billed + self.busy * self.rate

    def timed(self, seconds: float, calls: int) -> Running:
        """Put measured seconds in the place of modelled ones."""
        return replace(
            self,
            seconds=seconds,
            busy=seconds if self.busy else 0.0,
            basis=f"measured on {calls} calls",
            measured=True,
        )


def site_of(
    items: Sequence[Item],
    device: Device,
    *,
    calls: int,
    base: ModelShape | None = None,
    price: ModelPrice | None = None,
) -> Site:
    """Describe a site by the calls to be answered there.

    Args:
        items: Calls of the tasks, at least one; their medians count.
        device: The device.
        calls: Training calls.
        tasks: Tasks that share them; a call concerns one.
        base: Shape of the base.
        price: Price of the LLM that is asked.
    """
    latencies = [item.call.latency_s for item in items if item.call.latency_s > 0]
    return Site(
        device,
        prompt=round(median(item.call.usage.prompt_tokens for item in items)),
        payload=round(median(len(payload_of(item.call.request)) for item in items) / CHARACTERS_PER_TOKEN),
        completion=round(median(len(item.example.completion) for item in items) / CHARACTERS_PER_TOKEN),
        calls=calls,
        tasks=len({item.task for item in items}),
        base=base,
        price=price,
        latency=median(latencies) if latencies else None,
    )


def computed(site: Site, seconds: float, held: int, basis: str) -> Running:
    """Cost of a call that the device computes from start to end."""
    return Running(seconds, seconds, 0.0, site.rate, held, f"modelled: {basis}")


def unknown(site: Site, why: str) -> Running:
    """Cost of a call that nothing is known of before it is measured."""
    return Running(0.0, 0.0, 0.0, site.rate, 0, why)


def encoder_seconds(site: Site) -> float:
    """Seconds to embed one payload: reading the layers or computing, whichever is slower."""
    device, tokens = site.device, min(max(site.payload, 1), _ENCODER_TOKENS)
    read = _SINGLE * _ENCODER_WEIGHTS / (device.bandwidth * device.memory_efficiency)
    compute = 2 * _ENCODER_WEIGHTS * tokens / (device.flops * device.compute_efficiency)
    return max(read, compute) + _ENCODER_OVERHEAD_S


def nearest_seconds(site: Site) -> float:
    """Seconds to compare one vector with those of all training calls: bound by reading them."""
    return vectors_bytes(site) / (site.device.bandwidth * site.device.memory_efficiency)


def vectors_bytes(site: Site) -> int:
    """Bytes of the vectors of all training calls."""
    return site.calls * _DIMENSIONS * _SINGLE


def encoder_bytes(site: Site) -> int:
    """Bytes of the encoder and of the vectors of all training calls."""
    return _ENCODER_BYTES + vectors_bytes(site)


def base_seconds(site: Site, shape: ModelShape, *, prompt: int, adapter: bool) -> float:
    """Seconds in which a base reads a prompt of so many tokens and writes the answer."""
    time = request_time(shape, site.device, prompt=prompt, completion=site.completion, adapters=adapter)
    return time.latency_s


def base_bytes(site: Site, shape: ModelShape, *, context: int, ranks: Sequence[int]) -> int:
    """Bytes of a base with adapters of these ranks, the KV cache of one context, and the engine."""
    engine = memory.EMBEDDED if site.device.kind == "cpu" else memory.EngineFootprint()
    held = memory.weight_bytes(shape) + memory.slots_bytes(shape, ranks)
    return held + memory.kv_bytes(shape, context) + memory.fixed_bytes(shape, engine)
