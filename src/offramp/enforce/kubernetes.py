"""Kubernetes backends: NVIDIA's device plugin, HAMi, dynamic resource allocation, the KAI scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.local import percent
from offramp.enforce.manifests import Pod, mebibytes, resource_name, whole_devices, workload
from offramp.enforce.mig import CONFIG, parted_config
from offramp.enforce.port import Capabilities, Emission, File, Level
from offramp.enforce.render import documents, to_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.core.json import JsonObject
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options

GPU = "nvidia.com/gpu"
SHARED_GPU = "nvidia.com/gpu.shared"
_DRIVER = "gpu.nvidia.com"


class DevicePlugin:
    """NVIDIA's device plugin: whole devices, MIG instances, or equal parts of a device by MPS."""

    name = "k8s-device-plugin"

    def capabilities(self) -> Capabilities:
        """Say what its MPS sharing gives; a device that is cut into MIG instances is apart in everything."""
        return Capabilities(Level.HARD, Level.SOFT, Level.NONE, Level.NONE, Level.NONE)

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down manifests, and the plugin's configuration where devices are shared or cut."""
        parts = _most_engines(placement)
        files = [_manifests(placement, options, lambda engine: self._pod(placement, engine))]
        notes = []
        if any(device.profiles for device in placement.devices):
            files.append(File("mig-parted.yaml", to_yaml(parted_config(placement))))
            notes.append(
                f"Label cut nodes nvidia.com/mig.config={CONFIG}, and run the plugin with MIG_STRATEGY=mixed."
            )
        if parts > 1:
            files.append(File("device-plugin-config.yaml", to_yaml(_sharing(parts))))
            notes += [
                f"The plugin makes {parts} equal parts of every device, whatever the placement's shares are.",
                "Its MPS support is experimental, and does not go together with MIG on one node.",
            ]
        return Emission(self.name, tuple(files), notes=tuple(notes))

    def _pod(self, placement: Placement, engine: PlacedEngine) -> Pod:
        part = engine.slices[0]
        if part.profile is not None:
            return Pod(limits={f"nvidia.com/mig-{_profile(placement, engine)}": "1"})
        if whole_devices(engine, placement):
            return Pod(limits={GPU: str(len(engine.slices))})
        _refuse_parallel(engine, self.name)
        return Pod(limits={SHARED_GPU: "1"})


class KubernetesHami:
    """HAMi: memory in MiB and compute in per cent of a device, as resources of a pod."""

    name = "k8s-hami"

    def capabilities(self) -> Capabilities:
        """Say that memory is capped; its limit on compute did not separate tenants on large devices."""
        return Capabilities(Level.HARD, Level.NONE, Level.NONE, Level.SOFT, Level.NONE)

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down manifests with HAMi's resources and annotations."""
        notes = (
            "Keep devicePlugin.deviceMemoryScaling at 1: beyond it a full device is an out-of-memory error.",
            "HAMi's device plugin and its dynamic resource allocation must not run on one node together.",
        )
        return Emission(
            self.name,
            (_manifests(placement, options, lambda engine: self._pod(placement, engine)),),
            notes=notes,
        )

    def _pod(self, placement: Placement, engine: PlacedEngine) -> Pod:
        cut = engine.slices[0].profile is not None
        limits = {GPU: str(len(engine.slices)), "nvidia.com/gpumem": str(mebibytes(engine))}
        if not cut:
            limits["nvidia.com/gpucores"] = str(percent(engine))
        annotations = {
            "nvidia.com/vgpu-mode": "mig" if cut else "hami-core",
            "hami.io/node-scheduler-policy": "binpack",
            "hami.io/gpu-scheduler-policy": "binpack" if not whole_devices(engine, placement) else "spread",
        }
        environment = {} if cut else {"GPU_CORE_UTILIZATION_POLICY": "force"}
        return Pod(limits=limits, annotations=annotations, environment=environment)


class Dra:
    """Dynamic resource allocation with NVIDIA's driver: claims on devices, instances, or a device by MPS."""

    name = "k8s-dra"

    def capabilities(self) -> Capabilities:
        """Say what MPS under a shared claim gives; a claim on a MIG instance is apart in everything."""
        return Capabilities(Level.HARD, Level.SOFT, Level.NONE, Level.NONE, Level.NONE)

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down claims and manifests."""
        claims = [
            _shared_claim(f"gpu-{device}", options)
            for device in range(len(placement.devices))
            if len(placement.on(device)) > 1 and not placement.devices[device].profiles
        ]
        claims += [
            _claim_template(placement, engine, options)
            for engine in placement.engines
            if _own_claim(placement, engine)
        ]
        files = (
            File("claims.yaml", documents(claims)),
            _manifests(placement, options, lambda engine: self._pod(placement, engine)),
        )
        notes = (
            "Needs Kubernetes 1.34 or later (resource.k8s.io/v1) and NVIDIA's driver with its GPU plugin on.",
            "MPS in a claim needs the driver's feature gate MPSSupport, which is alpha.",
        )
        return Emission(self.name, files, notes=notes)

    def _pod(self, placement: Placement, engine: PlacedEngine) -> Pod:
        if _own_claim(placement, engine):
            template = {"name": "gpu", "resourceClaimTemplateName": resource_name(engine)}
            return Pod(claims=(template,))
        _refuse_parallel(engine, self.name)
        claim = {"name": "gpu", "resourceClaimName": f"gpu-{engine.slices[0].device}"}
        return Pod(
            claims=(claim,),
            # The claim's limits are the same for all its pods; a client may lower its own.
            environment={
                "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(percent(engine)),
                "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"0={mebibytes(engine)}M",
            },
        )


class Kai:
    """The KAI scheduler: a queue with a quota, and memory of a device per pod."""

    name = "kai"

    def capabilities(self) -> Capabilities:
        """Say that fractions are bookkeeping, unless HAMi-core is switched on under them."""
        return Capabilities(Level.SOFT, Level.NONE, Level.NONE, Level.SOFT, Level.NONE)

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down queue and manifests."""
        files = (
            File("queues.yaml", documents(_queues(placement, options))),
            _manifests(placement, options, lambda engine: self._pod(placement, engine, options)),
        )
        notes = (
            "A part of a device is bookkeeping: nothing stops an engine from taking more.",
            "Set binder.plugins.hamicore.enabled for a cap on memory.",
        )
        return Emission(self.name, files, notes=notes)

    def _pod(self, placement: Placement, engine: PlacedEngine, options: Options) -> Pod:
        fields = {"schedulerName": "kai-scheduler", "priorityClassName": "inference"}
        labels = {"kai.scheduler/queue": options.queue}
        if engine.slices[0].profile is not None:
            limits = {f"nvidia.com/mig-{_profile(placement, engine)}": "1"}
            return Pod(limits=limits, labels=labels, fields=fields)
        if whole_devices(engine, placement):
            return Pod(limits={GPU: str(len(engine.slices))}, labels=labels, fields=fields)
        annotations = {"gpu-memory": str(mebibytes(engine))}
        if len(engine.slices) > 1:
            annotations["gpu-fraction-num-devices"] = str(len(engine.slices))
        return Pod(labels=labels, annotations=annotations, fields=fields)


def _manifests(placement: Placement, options: Options, pod: Callable[[PlacedEngine], Pod]) -> File:
    objects: list[JsonObject] = []
    for engine in placement.engines:
        objects += workload(placement, engine, options, pod(engine))
    return File("engines.yaml", documents(objects))


def _most_engines(placement: Placement) -> int:
    """Return the most engines on one device that is not cut."""
    counts = [len(placement.on(i)) for i, device in enumerate(placement.devices) if not device.profiles]
    return max(counts, default=0)


def _sharing(parts: int) -> JsonObject:
    shared = {"name": GPU, "replicas": parts}
    sharing = {"mps": {"renameByDefault": True, "resources": [shared]}}
    return {"version": "v1", "flags": {"migStrategy": "none"}, "sharing": sharing}


def _profile(placement: Placement, engine: PlacedEngine) -> str:
    part = engine.slices[0]
    profiles = placement.devices[part.device].profiles
    if part.profile is None or not 0 <= part.profile < len(profiles) or len(engine.slices) > 1:
        raise BadInput(
            f"Engine {engine.name!r} wants instance {part.profile} of a device cut into "
            f"{', '.join(profiles) or 'nothing'}; an engine has exactly one instance of one device."
        )
    return profiles[part.profile]


def _refuse_parallel(engine: PlacedEngine, backend: str) -> None:
    if len(engine.slices) > 1:
        raise BadInput(
            f"Engine {engine.name!r} has parts of {len(engine.slices)} devices; {backend} can share one.",
            hint="Give it whole devices.",
        )


def _own_claim(placement: Placement, engine: PlacedEngine) -> bool:
    return engine.slices[0].profile is not None or whole_devices(engine, placement)


def _claim_template(placement: Placement, engine: PlacedEngine, options: Options) -> JsonObject:
    exactly: JsonObject = {"deviceClassName": _DRIVER, "count": len(engine.slices)}
    if engine.slices[0].profile is not None:
        wanted = f"device.attributes['{_DRIVER}'].profile == '{_profile(placement, engine)}'"
        exactly = {"deviceClassName": "mig.nvidia.com", "selectors": [{"cel": {"expression": wanted}}]}
    devices = {"requests": [{"name": "gpu", "exactly": exactly}]}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": resource_name(engine), "namespace": options.namespace},
        "spec": {"spec": {"devices": devices}},
    }


def _shared_claim(name: str, options: Options) -> JsonObject:
    parameters = {
        "apiVersion": "resource.nvidia.com/v1beta1",
        "kind": "GpuConfig",
        "sharing": {"strategy": "MPS", "mpsConfig": {"defaultActiveThreadPercentage": 100}},
    }
    config = {"requests": ["gpu"], "opaque": {"driver": _DRIVER, "parameters": parameters}}
    request = {"name": "gpu", "exactly": {"deviceClassName": _DRIVER}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": options.namespace},
        "spec": {"devices": {"requests": [request], "config": [config]}},
    }


def _queues(placement: Placement, options: Options) -> list[JsonObject]:
    """Return a queue that may use what is paid for, and its parent: KAI wants two levels."""
    unlimited = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
    gpus = {"quota": len(placement.devices), "limit": len(placement.devices), "overQuotaWeight": 1}
    resources = {"cpu": unlimited, "memory": unlimited, "gpu": gpus}
    parent = f"{options.queue}-all"
    return [
        {
            "apiVersion": "scheduling.run.ai/v2",
            "kind": "Queue",
            "metadata": {"name": name},
            "spec": {**above, "resources": resources},
        }
        for name, above in ((parent, {}), (options.queue, {"parentQueue": parent}))
    ]
