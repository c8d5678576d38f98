"""All backends by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput
from offramp.enforce.kubernetes import DevicePlugin, Dra, Kai, KubernetesHami
from offramp.enforce.local import Cores, Hami, Plain
from offramp.enforce.mig import Mig
from offramp.enforce.mps import Mps
from offramp.enforce.ray_serve import RayServe

if TYPE_CHECKING:
    from offramp.enforce.port import Backend, LocalBackend

LOCAL = ("plain", "cores", "mps", "mig", "hami")
ELSEWHERE = ("k8s-device-plugin", "k8s-hami", "k8s-dra", "kai", "ray")
NAMES = (*LOCAL, *ELSEWHERE)


def backend_of(name: str) -> Backend:
    """Return a backend.

    Raises:
        BadInput: There is none of that name.
    """
    if name in LOCAL:
        return local_backend(name)
    others: dict[str, type[DevicePlugin | KubernetesHami | Dra | Kai | RayServe]] = {
        one.name: one for one in (DevicePlugin, KubernetesHami, Dra, Kai, RayServe)
    }
    if name not in others:
        raise BadInput(f"There is no backend {name!r}; allowed are {', '.join(NAMES)}.")
    return others[name]()


def local_backend(name: str) -> LocalBackend:
    """Return a backend whose engines run on this host.

    Raises:
        BadInput: There is none of that name.
    """
    if name == "cores":
        return Cores(tuple(sorted(os.sched_getaffinity(0))))
    backends: dict[str, type[Plain | Mps | Mig | Hami]] = {one.name: one for one in (Plain, Mps, Mig, Hami)}
    if name not in backends:
        raise BadInput(
            f"Backend {name!r} does not start engines on this host; allowed are {', '.join(LOCAL)}."
        )
    return backends[name]()
