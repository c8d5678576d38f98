"""Device seconds of one request: measured where somebody measured, a roofline otherwise.

The roofline (Williams et al., 2009) takes the slower of reading and computing. A decoding step reads all
active weights once for the whole batch and each sequence's KV cache; a prompt is bound by arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.plan.memory import kv_bytes

if TYPE_CHECKING:
    from offramp.plan.devices import Device
    from offramp.plan.shape import ModelShape


@dataclass(frozen=True, slots=True)
class RequestTime:
    """Seconds of one request when ``batch`` of them run at once.

    Attributes:
        batch: Requests decoded together.
        latency_s: From its start to its last token.
        device_s: The part of the device's time that it uses up: the prompt's, and its share of the steps.
    """

    batch: int
    latency_s: float
    device_s: float


def decode_step_s(shape: ModelShape, device: Device, *, batch: int, context: int) -> float:
    """Seconds of one decoding step for ``batch`` sequences of ``context`` tokens each."""
    read = shape.active_bytes + batch * kv_bytes(shape, context)
    memory_s = read / (device.bandwidth * device.memory_efficiency)
    compute_s = 2 * shape.active_params * batch / (device.flops * device.compute_efficiency)
    return max(memory_s, compute_s) + device.step_overhead_s


def prefill_s(shape: ModelShape, device: Device, *, tokens: int) -> float:
    """Seconds to read a prompt of ``tokens``: two operations per weight and token, and causal attention."""
    attention = 2 * shape.layers * shape.heads * shape.head_dim * tokens
    operations = tokens * (2 * shape.linear_params + attention)
    compute_s = operations / (device.flops * device.compute_efficiency)
    read_s = shape.active_bytes / (device.bandwidth * device.memory_efficiency)
    return max(compute_s, read_s) + device.step_overhead_s


def request_time(
    shape: ModelShape, device: Device, *, prompt: int, completion: int, batch: int = 1, adapters: bool = False
) -> RequestTime:
    """Time one request of ``prompt`` and ``completion`` tokens.

    Args:
        shape: The base.
        device: Where it runs.
        prompt: Prompt tokens (0 is allowed: all of it cached).
        completion: Tokens generated.
        batch: Requests decoded together; each holds half of its completion on average.
        adapters: Whether it runs through an adapter, which the device's ``adapter_slowdown`` prices in.
    """
    slowdown = device.adapter_slowdown if adapters else 1.0
    reading = prefill_s(shape, device, tokens=prompt) if prompt else 0.0
    step = decode_step_s(shape, device, batch=batch, context=prompt + completion // 2)
    decoding = completion * step
    return RequestTime(
        batch=batch,
        latency_s=slowdown * (reading + decoding),
        device_s=slowdown * (reading + decoding / batch),
    )
