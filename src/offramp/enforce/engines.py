"""A placed engine as the command line of a serving program: vLLM or SGLang.

Sizes are stated in absolute terms wherever the program allows it (`--kv-cache-memory-bytes`): a share of
"what is free" is measured by each engine when it starts, and two that start together measure each other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.options import ENGINES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.placement import Adapter, PlacedEngine, Placement
    from offramp.enforce.options import Options


def command_line(engine: PlacedEngine, options: Options, *, port: int) -> tuple[str, ...]:
    """Return program and flags of an engine.

    Raises:
        BadInput: The program is unknown, or an adapter has no directory yet.
    """
    if options.engine not in ENGINES:
        raise BadInput(f"Engine program {options.engine!r} is not known; allowed are {', '.join(ENGINES)}.")
    if options.engine == "sglang":
        program = options.program or ("python3", "-m", "sglang.launch_server")
        return (*program, *_sglang(engine, options, port), *options.extra)
    program = options.program or ("vllm", "serve")
    return (*program, *_vllm(engine, options, port), *options.extra)


def variables(engine: PlacedEngine, options: Options) -> dict[str, str]:
    """Return the environment that the program itself needs, devices apart."""
    if options.engine != "vllm" or not options.control:
        return {}
    named = {"VLLM_SERVER_DEV_MODE": "1"}
    if engine.adapters:
        named["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    return named


def ports(placement: Placement, options: Options) -> Mapping[str, int]:
    """Give every engine a port: those that the options name, then free ones from the first on.

    Ports are given per node, so two hosts may use the same ones.

    Raises:
        BadInput: There are more engines than ports.
    """
    given = dict(options.ports)
    taken: dict[str, set[int]] = {}
    for engine in placement.engines:
        if engine.name in given:
            taken.setdefault(node_of(placement, engine), set()).add(given[engine.name])
    found: dict[str, int] = {}
    for engine in placement.engines:
        used = taken.setdefault(node_of(placement, engine), set())
        port = given.get(engine.name) or next(
            (port for port in range(options.first_port, 65_536) if port not in used), 0
        )
        if not port:
            raise BadInput(f"No port from {options.first_port} on is left for engine {engine.name!r}.")
        used.add(port)
        found[engine.name] = port
    return found


def node_of(placement: Placement, engine: PlacedEngine) -> str:
    """Return the host of an engine.

    Raises:
        BadInput: Its devices are in several hosts.
    """
    nodes = {placement.devices[part.device].node for part in engine.slices}
    if len(nodes) > 1:
        raise BadInput(
            f"Engine {engine.name!r} is on devices of {', '.join(sorted(nodes))}; "
            "tensor parallelism stays inside one host."
        )
    return nodes.pop()


def adapter_path(engine: PlacedEngine, adapter: Adapter, options: Options) -> str:
    """Return the directory of an adapter: its own, or one of its name in the options' folder.

    Raises:
        BadInput: It is not known yet, and there is no such folder.
    """
    if not adapter.path and options.adapters:
        return f"{options.adapters.rstrip('/')}/{adapter.specialist}"
    if not adapter.path:
        raise BadInput(
            f"Adapter {adapter.specialist!r} of engine {engine.name!r} has no directory.",
            hint="Write its path into the placement, or name the folder of all with --adapters.",
        )
    return adapter.path


def host_slots(engine: PlacedEngine) -> int:
    """Return how many adapters wait in host memory, from where loading takes milliseconds.

    At least four and a power of two: an adapter more or less seldom changes a flag, which takes a restart.
    """
    return 1 << (max(len(engine.adapters), engine.loaded, 4) - 1).bit_length()


def vllm_settings(engine: PlacedEngine, options: Options) -> dict[str, str | int | bool]:
    """Return vLLM's engine arguments by name, as its flags, Python and Ray Serve all spell them."""
    settings: dict[str, str | int | bool] = {
        "kv_cache_memory_bytes": engine.memory.kv,
        "max_num_seqs": engine.slots,
        "max_model_len": engine.context,
    }
    if len(engine.slices) > 1:
        settings["tensor_parallel_size"] = len(engine.slices)
    if options.control and options.sleep:
        settings["enable_sleep_mode"] = True
    if engine.adapters:
        settings |= {
            "enable_lora": True,
            "max_loras": max(engine.loaded, 1),
            "max_lora_rank": engine.rank,
            "max_cpu_loras": host_slots(engine),
        }
    return settings


def _vllm(engine: PlacedEngine, options: Options, port: int) -> list[str]:
    flags = [engine.base, "--served-model-name", engine.name, "--host", options.host, "--port", str(port)]
    for name, value in vllm_settings(engine, options).items():
        flags.append(f"--{name.replace('_', '-')}")
        if value is not True:
            flags.append(str(value))
    if engine.adapters:
        flags.append("--lora-modules")
        for adapter in engine.adapters:
            # JSON, not name=path: a path may hold a comma or an equals sign.
            module = {
                "name": adapter.specialist,
                "path": adapter_path(engine, adapter, options),
                "base_model_name": engine.name,
            }
            flags.append(json.dumps(module))
    return flags


def _sglang(engine: PlacedEngine, options: Options, port: int) -> list[str]:
    flags = ["--model-path", engine.base, "--served-model-name", engine.name]
    flags += ["--host", options.host, "--port", str(port)]
    flags += ["--max-running-requests", str(engine.slots), "--context-length", str(engine.context)]
    # SGLang has no budget in bytes, only a share of the device or a number of tokens.
    per_token = dict(options.kv_bytes_per_token).get(engine.base, 0)
    fullest = engine.slots * engine.context
    tokens = min(fullest, engine.memory.kv // per_token) if per_token else fullest
    flags += ["--max-total-tokens", str(tokens)]
    if len(engine.slices) > 1:
        flags += ["--tensor-parallel-size", str(len(engine.slices))]
    if options.control and options.sleep:
        flags.append("--enable-memory-saver")
    if engine.adapters:
        flags += ["--enable-lora", "--max-lora-rank", str(engine.rank)]
        flags += ["--max-loras-per-batch", str(max(engine.loaded, 1))]
        flags += ["--max-loaded-loras", str(host_slots(engine))]
        flags.append("--lora-paths")
        flags += [f"{one.specialist}={adapter_path(engine, one, options)}" for one in engine.adapters]
    return flags
