"""How long one iteration of an engine takes: the roofline on a share of the devices.

A share of the multiprocessors slows prompts more than decoding, which waits for memory. Memory bandwidth is
partitioned by nothing (but MIG): engines that run at the same moment divide it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import BadInput
from offramp.plan.memory import kv_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offramp.core.placement import PlacedEngine
    from offramp.plan.devices import Device
    from offramp.plan.shape import ModelShape

PREFILL_POWER = 0.72
"""A prompt takes ``share ** -0.72`` as long: 1.65 times at half the device (MuxServe, Llama-7B on A100)."""

DECODE_KNEE = 0.55
"""Decoding is as fast as on the whole device down to this share, and slows in proportion below it."""

PARALLEL_LOSS = {1: 1.0, 2: 1.1, 4: 1.2, 8: 1.4}
"""Factor on the time of tensor parallel engines over ideal division (the published range is 1.1 to 1.4)."""

HOST_BANDWIDTH = 20e9
"""Bytes per second from host memory to the device: what loading an adapter and waking an engine run at."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of an engine's work, by kind, on all of its devices and alone.

    Attributes:
        weights_s: Reading the weights once, which every iteration does.
        kv_s: Reading one cached token.
        prompt_s: Arithmetic of one prompt token, which needs no output layer.
        token_s: Arithmetic of one generated token.
        attention_s: Arithmetic of one prompt token's attention to one earlier token.
        overhead_s: What an iteration takes on top.
        share: Share of its devices' compute, the smallest where they differ.
        isolated: Whether bandwidth is its own too (MIG).
        slowdown: Factor on everything (adapters).
    """

    weights_s: float
    kv_s: float
    prompt_s: float
    token_s: float
    attention_s: float
    overhead_s: float
    share: float = 1.0
    isolated: bool = False
    slowdown: float = 1.0

    @property
    def prefill_factor(self) -> float:
        """Factor on the arithmetic of prompts that the share costs."""
        return float(self.share**-PREFILL_POWER)

    @property
    def decode_factor(self) -> float:
        """Factor on decoding that the share costs."""
        return max(1.0, DECODE_KNEE / self.share)

    def _crowd(self, neighbours: float) -> float:
        """Factor on reading memory: an instance has its part of the bandwidth, others divide it."""
        return 1.0 / self.share if self.isolated else 1.0 + neighbours

    def iteration_s(
        self, *, prefill: float, attended: float, decoding: float, cached: float, neighbours: float = 0.0
    ) -> float:
        """Return the seconds of one iteration.

        Args:
            prefill: Prompt tokens read.
            attended: Sum over them of the tokens before each.
            decoding: Sequences that get one more token.
            cached: Tokens that those sequences hold together.
            neighbours: Engines that are in an iteration on the same devices at this moment.
        """
        prefill_factor, decode_factor = self.prefill_factor, self.decode_factor
        crowd = self._crowd(neighbours)
        memory = (self.weights_s + cached * self.kv_s) * max(decode_factor, crowd)
        compute = (prefill * self.prompt_s + attended * self.attention_s) * prefill_factor
        compute += decoding * self.token_s * decode_factor
        return (max(memory, compute) + self.overhead_s) * self.slowdown

    def steps_s(
        self, batches: NDArray[np.float64], *, context: float, neighbours: float = 0.0
    ) -> NDArray[np.float64]:
        """Return the seconds of iterations that only decode.

        Args:
            batches: Sequences that get one more token, shape ``(n,)``.
            context: Tokens that each of them holds.
            neighbours: Engines in an iteration on the same devices, on average.
        """
        crowd = self._crowd(neighbours)
        memory = (self.weights_s + batches * context * self.kv_s) * max(self.decode_factor, crowd)
        compute = batches * self.token_s * self.decode_factor
        steps: NDArray[np.float64] = (np.maximum(memory, compute) + self.overhead_s) * self.slowdown
        return steps

    def prompts_s(self, tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the seconds of arithmetic that prompts add to the iterations that read them, by length."""
        arithmetic = tokens * self.prompt_s + 0.5 * tokens * tokens * self.attention_s
        seconds: NDArray[np.float64] = arithmetic * self.prefill_factor * self.slowdown
        return seconds


def speed_of(engine: PlacedEngine, shape: ModelShape, device: Device, *, isolated: bool = False) -> Speed:
    """Return the speed of a placed engine.

    Args:
        engine: Its slices give the share and the degree of tensor parallelism.
        shape: Its base.
        device: The type of its devices.
        isolated: Whether it has a MIG profile of its own.

    Raises:
        BadInput: It runs on a number of devices that nobody measured the loss of.
    """
    return roofline(
        shape,
        device,
        share=min(part.share for part in engine.slices),
        degree=len(engine.slices),
        adapters=bool(engine.adapters),
        isolated=isolated,
    )


def roofline(
    shape: ModelShape,
    device: Device,
    *,
    share: float = 1.0,
    degree: int = 1,
    adapters: bool = False,
    isolated: bool = False,
) -> Speed:
    """Return the speed of a base by a device's peaks.

    Args:
        shape: The base.
        device: The type of device.
        share: Share of its compute.
        degree: Devices in tensor parallel.
        adapters: Whether requests go through adapters.
        isolated: Whether its bandwidth is its own too (MIG).

    Raises:
        BadInput: Nobody measured the loss of that many devices.
    """
    if degree not in PARALLEL_LOSS:
        raise BadInput(
            f"An engine of {shape.name!r} is on {degree} devices; "
            f"known is what {', '.join(map(str, PARALLEL_LOSS))} lose."
        )
    loss = PARALLEL_LOSS[degree] / degree
    bandwidth = device.bandwidth * device.memory_efficiency
    flops = device.flops * device.compute_efficiency
    return Speed(
        weights_s=shape.active_bytes / bandwidth * loss,
        kv_s=kv_bytes(shape, 1) / bandwidth * loss,
        prompt_s=2 * shape.linear_params / flops * loss,
        token_s=2 * shape.active_params / flops * loss,
        attention_s=4 * shape.layers * shape.heads * shape.head_dim / flops * loss,
        overhead_s=device.step_overhead_s,
        share=share,
        isolated=isolated,
        slowdown=device.adapter_slowdown if adapters else 1.0,
    )


def fitted(
    modelled: Speed, *, prompt_tokens_per_s: float, steps: Sequence[tuple[int, float]], through_adapter: bool
) -> Speed:
    """Return a speed that was measured, on a whole device; what was not measured stays as modelled.

    Every measured step is met or exceeded: the time per sequence is the largest of those batches that took
    longer than one alone.

    Args:
        modelled: The roofline's speed.
        prompt_tokens_per_s: Prompt tokens read per second, attention included.
        steps: Requests at once with the seconds of a decoding step, at least one pair.
        through_adapter: Whether the engine was asked through an adapter, so that its cost is in the figures.
    """
    alone = min(steps)[1]
    per_token = max((seconds / batch for batch, seconds in steps if seconds > 1.02 * alone), default=0.0)
    return replace(
        modelled,
        weights_s=alone,
        overhead_s=0.0,
        prompt_s=1.0 / prompt_tokens_per_s,
        attention_s=0.0,
        token_s=per_token,
        slowdown=1.0 if through_adapter else modelled.slowdown,
    )
