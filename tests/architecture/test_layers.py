"""Imports go one way, and the request path stays light."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import offramp

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "sklearn", "ray", "vllm")
LIGHT = (
    "gateway",
    "route",
    "record",
    "upstream",
    "storage",
    "dialect",
    "redact",
    "access",
    "interchange",
    "telemetry",
    "discover.assign",
    "core.render",
)


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("package", LIGHT)
def test_the_request_path_loads_nothing_heavy(package: str) -> None:
    script = f"import sys, offramp.{package}; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_name_in_all_exists() -> None:
    listed = 0
    for info in pkgutil.walk_packages(offramp.__path__, "offramp."):
        if not info.ispkg:
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{info.name}.{name}"
            listed += 1
    assert listed > 20


def test_only_config_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT / "src/offramp").parts[0]
        for path in (ROOT / "src").rglob("*.py")
        if any(word in path.read_text() for word in ("os.environ", "os.getenv", "getenv("))
    ]
    assert set(readers) <= {"config"}
