"""Where the figures come from: machine, kernel, Python build, load."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.gateway.processes import cores


def describe() -> dict[str, str]:
    """Return what a reader has to know beside the figures."""
    one, two = cores()
    shared = (
        "ONE CORE ONLY: gateway, upstream and load share it"
        if one == two
        else f"gateway {one}, upstream and load {two}"
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} CPUs, {_memory_gb()} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()} ({_build()}) at {sys.prefix}",
        "packages": ", ".join(
            f"{name} {_version(name)}" for name in ("uvloop", "httptools", "uvicorn", "aiohttp", "orjson")
        ),
        "cores": shared,
        "load average at start": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def _build() -> str:
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return (
        "PGO: --enable-optimizations"
        if "--enable-optimizations" in arguments
        else "not PGO: built without --enable-optimizations"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"
