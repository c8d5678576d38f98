"""Ray Serve: a configuration for ``serve deploy``, one LLM application with a model per kind of engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.engines import variables, vllm_settings
from offramp.enforce.port import Capabilities, Emission, File, Level
from offramp.enforce.render import to_yaml

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options


class RayServe:
    """Fractions of devices by Ray's own count."""

    name = "ray"

    def capabilities(self) -> Capabilities:
        """Say that a fraction of a device is bookkeeping; the engine's own KV budget holds it back."""
        return Capabilities(Level.SOFT, Level.NONE, Level.NONE, Level.SOFT, Level.SOFT)

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down the configuration; engines that are the same but for their name become replicas."""
        if options.engine != "vllm":
            raise BadInput(f"Ray Serve's LLM application runs vLLM, not {options.engine!r}.")
        quiet = replace(options, control=False)
        models: dict[str, tuple[PlacedEngine, int]] = {}
        for engine in placement.engines:
            name = _model(engine)
            first, count = models.get(name, (engine, 0))
            if _kind(first) != _kind(engine):
                raise BadInput(
                    f"Engines {first.name!r} and {engine.name!r} are replicas by their names, but differ.",
                    hint="Replicas of one model have one size in Ray Serve.",
                )
            models[name] = (first, count + 1)
        application = {
            "name": "offramp",
            "route_prefix": "/",
            "import_path": "ray.serve.llm:build_openai_app",
            "args": {"llm_configs": [_config(name, *found, quiet) for name, found in models.items()]},
        }
        notes = (
            "A fraction of a device is bookkeeping; pick nodes yourself where devices differ.",
            "Adapters are asked for as MODEL:ADAPTER and lie in one folder each below the loading path.",
        )
        file = File("serve-config.yaml", to_yaml({"applications": [application]}))
        return Emission(self.name, (file,), notes=notes)


def _model(engine: PlacedEngine) -> str:
    """Return the name of an engine without the number of its replica ("qwen3-4b.0" is one of "qwen3-4b")."""
    stem, _, number = engine.name.rpartition(".")
    return stem if stem and number.isdigit() else engine.name


def _kind(engine: PlacedEngine) -> tuple[object, ...]:
    shares = tuple(part.share for part in engine.slices)
    return engine.base, shares, engine.memory, engine.slots, engine.context, engine.adapters, engine.loaded


def _config(name: str, engine: PlacedEngine, replicas: int, options: Options) -> JsonObject:
    share = min(part.share for part in engine.slices)
    environment = variables(engine, options)
    config: JsonObject = {
        "model_loading_config": {"model_id": name, "model_source": engine.base},
        "deployment_config": {"num_replicas": replicas, "max_ongoing_requests": engine.slots},
        "engine_kwargs": vllm_settings(engine, options),
        "placement_group_config": {"bundles": [{"GPU": share} for _ in engine.slices]},
    }
    if engine.adapters:
        if not options.lora_path:
            raise BadInput(
                f"Engine {engine.name!r} has adapters; Ray Serve needs the folder or bucket they lie in.",
                hint="Name it with --lora-path.",
            )
        config["lora_config"] = {
            "dynamic_lora_loading_path": options.lora_path,
            "max_num_adapters_per_replica": max(engine.loaded, 1),
        }
    if share < 1.0:
        environment["VLLM_RAY_PER_WORKER_GPUS"] = f"{share:g}"
        # Replicas that share a device would compile into one cache at the same time.
        environment["VLLM_DISABLE_COMPILE_CACHE"] = "1"
    if environment:
        config["runtime_env"] = {"env_vars": environment}
    return config
