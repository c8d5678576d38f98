"""What every Kubernetes backend shares: a Deployment and a Service per engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from offramp.enforce.engines import command_line, node_of, variables

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options

PORT = 8000
MIB = 1 << 20
_STARTING_S = 1800
"""Longest start: a large base is read over the network, compiled, and its graphs are captured."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What a backend adds to an engine's pod.

    Attributes:
        limits: The container's resource limits, besides the host's.
        labels: The pod's labels.
        annotations: The pod's annotations.
        environment: Variables of the container.
        claims: Entries of the pod's ``resourceClaims``; the container uses all of them.
        fields: Fields of the pod's spec.
    """

    limits: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    claims: tuple[JsonObject, ...] = ()
    fields: JsonObject = field(default_factory=dict)


def resource_name(engine: PlacedEngine) -> str:
    """Return an engine's name as Kubernetes allows it: lower case, digits and dashes, at most 63."""
    return re.sub(r"[^a-z0-9]+", "-", engine.name.lower()).strip("-")[:63].rstrip("-")


def workload(placement: Placement, engine: PlacedEngine, options: Options, pod: Pod) -> list[JsonObject]:
    """Return an engine's Deployment and Service.

    The strategy is to end the old pod first: two at once do not fit on the device.
    """
    name = resource_name(engine)
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/managed-by": "offramp",
        "offramp/role": str(engine.role),
    }
    metadata = {"name": name, "namespace": options.namespace, "labels": labels}
    selector = {"app.kubernetes.io/name": name}
    template: JsonObject = {"metadata": {"labels": labels | pod.labels}}
    if pod.annotations:
        template["metadata"]["annotations"] = pod.annotations
    template["spec"] = _pod_spec(placement, engine, options, pod)
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": selector},
                "template": template,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": selector, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]},
        },
    ]


def whole_devices(engine: PlacedEngine, placement: Placement) -> bool:
    """Whether an engine has its devices, uncut, to itself."""
    return all(part.profile is None and placement.on(part.device) == (engine,) for part in engine.slices)


def mebibytes(engine: PlacedEngine) -> int:
    """Return what an engine holds on each of its devices, in MiB rounded up."""
    return -(-engine.memory.total // MIB)


def _pod_spec(placement: Placement, engine: PlacedEngine, options: Options, pod: Pod) -> JsonObject:
    spec: JsonObject = {"terminationGracePeriodSeconds": 120, **pod.fields}
    if options.pin_nodes:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node_of(placement, engine)}
    if pod.claims:
        spec["resourceClaims"] = list(pod.claims)
    spec["containers"] = [_container(engine, options, pod)]
    # Tensor parallel workers and tokenizers share memory; the default of 64 MiB ends them.
    spec["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    if options.models_claim:
        claim = {"claimName": options.models_claim, "readOnly": True}
        spec["volumes"].append({"name": "models", "persistentVolumeClaim": claim})
    return spec


def _container(engine: PlacedEngine, options: Options, pod: Pod) -> JsonObject:
    argv = command_line(engine, _in_container(options), port=PORT)
    environment = variables(engine, options) | pod.environment
    container: JsonObject = {
        "name": "engine",
        "image": options.container_image,
        "command": list(argv),
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe(period_s=10, failures=_STARTING_S // 10),
        "readinessProbe": _probe(period_s=5, failures=2),
        "livenessProbe": _probe(period_s=10, failures=6),
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108 - in the container
    }
    if environment:
        container["env"] = [{"name": name, "value": value} for name, value in sorted(environment.items())]
    resources: JsonObject = {"limits": pod.limits} if pod.limits else {}
    if pod.claims:
        resources["claims"] = [{"name": claim["name"]} for claim in pod.claims]
    if resources:
        container["resources"] = resources
    if options.models_claim:
        mount = {"name": "models", "mountPath": options.models_path, "readOnly": True}
        container["volumeMounts"].append(mount)
    return container


def _in_container(options: Options) -> Options:
    """Listen on every address of the pod, and take no orders from there."""
    return replace(options, host="0.0.0.0", program=(), control=False)  # noqa: S104 - inside the pod


def _probe(*, period_s: int, failures: int) -> JsonObject:
    return {
        "httpGet": {"path": "/health", "port": PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
