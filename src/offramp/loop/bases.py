"""From the catalogue to one base for a task: what fits a device, what is small there, which probes best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.core.render import payload_of
from offramp.plan import memory
from offramp.plan.compute import request_time
from offramp.plan.shape import ModelShape
from offramp.select import Need, Probe, probe_arms, refusals, tokens_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from offramp.core.call import Call
    from offramp.plan.devices import Device
    from offramp.select import Catalogue, Outcome, SmallModel

    Losses = Callable[[SmallModel, Sequence[int]], Sequence[float]]

RANK = 16
"""Rank of the adapter that memory is set aside for."""

LATENCY_S = 2.0
"""Seconds of one answer up to which a model counts as small on a device."""

_HALF, _SINGLE = 2.0, 4.0
# Assumptions, not measurements: another tokenizer may cut the same text finer than the teacher's did, and a
# token is three characters where nobody counted.
_TOKENIZER_MARGIN = 1.25
_CHARACTERS_PER_TOKEN = 3
# Tokens of the chat template around a payload, and of the task's name before it.
_TEMPLATE = 24


@dataclass(frozen=True, slots=True)
class Load:
    """What one task asks of a model that answers its calls.

    Attributes:
        context: Tokens that 99.9 % of its calls fit into, prompt and completion.
        prompt: Tokens of a typical prompt.
        completion: Tokens of a typical answer.
    """

    context: int
    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Fit:
    """One model of the catalogue on one device, for one task.

    Attributes:
        model: The model.
        memory: Bytes it takes there, with one adapter, the KV cache of a full context and the engine.
        seconds: Modelled seconds of one typical answer.
        reasons: Why it is out; empty where it may be probed.
        small: Whether it answers within the limit there: the same model is small on one device only.
    """

    model: SmallModel
    memory: int
    seconds: float
    reasons: tuple[str, ...]
    small: bool


def shape_of(model: SmallModel, *, weight_bytes: float = _HALF) -> ModelShape:
    """Return what the memory model needs of a model whose weights take so many bytes each."""
    return ModelShape(
        name=model.name,
        family=model.family,
        layers=model.layers,
        hidden=model.hidden,
        intermediate=model.intermediate,
        heads=model.heads,
        head_dim=model.head_dim,
        kv_heads=(model.kv_heads,) * model.layers,
        windows=model.windows(),
        vocab=model.vocab,
        tied=model.tied,
        qkv_bias=model.qkv_bias,
        qk_norm=model.qk_norm,
        weight_bytes=weight_bytes,
        linear_bytes=weight_bytes,
    )


def shape_on(model: SmallModel, device: Device, engine: str) -> ModelShape:
    """Return a model's shape as an engine holds it: the embedded one runs in single precision on a CPU."""
    single = engine == "embedded" and device.kind == "cpu"
    return shape_of(model, weight_bytes=_SINGLE if single else _HALF)


def memory_of(shape: ModelShape, device: Device, context: int) -> int:
    """Return the bytes of weights, one adapter, one full context of KV cache, and the engine."""
    engine = memory.EMBEDDED if device.kind == "cpu" else memory.EngineFootprint()
    held = memory.weight_bytes(shape) + memory.slots_bytes(shape, [RANK])
    return held + memory.kv_bytes(shape, context) + memory.fixed_bytes(shape, engine)


def load_of(calls: Iterable[Call]) -> Load:
    """Measure what a task's recorded calls ask of a model that is trained for it.

    Such a model reads the payload, not the static prompt; its tokens are estimated from characters, three a
    token. Those of the answer are the teacher's count plus a quarter, because other tokenizers cut finer.

    Raises:
        BadInput: There are no calls.
    """
    pairs = [_tokens(call) for call in calls]
    if not pairs:
        raise BadInput("There are no calls to measure a task by.", hint="Record some first.")
    return Load(
        context=tokens_at(prompt + completion for prompt, completion in pairs),
        prompt=tokens_at((prompt for prompt, _ in pairs), 0.5),
        completion=tokens_at((completion for _, completion in pairs), 0.5),
    )


def fits(
    catalogue: Catalogue, load: Load, device: Device, need: Need, *, latency_s: float = LATENCY_S
) -> list[Fit]:
    """Judge every model of a catalogue for one task on one device, fastest first.

    Args:
        catalogue: The models.
        load: What the task asks for; its context goes into the memory.
        device: Where the model is to run.
        need: The other demands. Its context, device and memory are taken from ``load`` and ``device``.
        latency_s: Seconds up to which a model counts as small there.
    """
    asked = replace(need, context=load.context, device=device.name, memory=device.memory)
    judged = []
    for model in catalogue.models.values():
        shape = shape_on(model, device, need.engine)
        held = memory_of(shape, device, min(load.context, model.context))
        time = request_time(
            shape, device, prompt=load.prompt, completion=load.completion, adapters=need.fine_tune
        )
        reasons = refusals(model, catalogue.licence(model), asked, held)
        judged.append(Fit(model, held, time.latency_s, reasons, time.latency_s <= latency_s))
    return sorted(judged, key=lambda fit: (fit.seconds, fit.model.name))


def probe_bases(found: Sequence[Fit], losses: Losses, calls: int, probe: Probe | None = None) -> Outcome:
    """Probe the models that passed the filters and are small on their device, on a task's validation calls.

    Args:
        found: Models as `fits` judged them.
        losses: Asks a model about calls, given by their indices, and returns a loss for each.
        calls: Number of validation calls.
        probe: How to probe.

    Returns:
        The smallest model (by modelled seconds on the device) within a margin of the best, and what became
        of the others.

    Raises:
        BadInput: No model passed; the message counts the reasons.
    """
    arms = {fit.model.name: fit for fit in found if not fit.reasons and fit.small}
    if not arms:
        slow = sum(not fit.small and not fit.reasons for fit in found)
        raise BadInput(
            f"None of {len(found)} models may be probed: {len(found) - slow} are ruled out, {slow} too slow.",
            hint="`offramp models --device NAME` says why; take a larger device, or allow more seconds.",
        )
    return probe_arms(
        {name: fit.seconds for name, fit in arms.items()},
        lambda name, rows: losses(arms[name].model, rows),
        calls,
        probe or Probe(),
    )


def _tokens(call: Call) -> tuple[int, int]:
    prompt = _TEMPLATE + len(payload_of(call.request)) // _CHARACTERS_PER_TOKEN
    counted = call.usage.completion_tokens
    if counted:
        return prompt, round(counted * _TOKENIZER_MARGIN)
    return prompt, len(str(call.response)) // _CHARACTERS_PER_TOKEN
