"""Line coverage of the pure packages, checked after a run of pytest with coverage.

Floors may only rise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FLOORS = {
    "access": 95.0,
    "certify": 99.0,
    "core": 95.0,
    "curate": 95.0,
    "dialect": 95.0,
    "discover": 95.0,
    "enforce": 94.0,
    "interchange": 95.0,
    "plan": 97.0,
    "redact": 95.0,
    "report": 95.0,
    "route": 97.0,
    "schedule": 97.0,
    "select": 99.0,
    "simulate": 95.0,
    "telemetry": 95.0,
}


def measured(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, float]:
    """Sum up lines by package; returns per cent."""
    lines: dict[str, list[int]] = {}
    for name, file in report["files"].items():
        package = Path(name).parts[2] if name.startswith("src/offramp/") else ""
        covered, total = lines.setdefault(package, [0, 0])
        summary = file["summary"]
        lines[package] = [covered + summary["covered_lines"], total + summary["num_statements"]]
    return {name: 100.0 * covered / max(total, 1) for name, (covered, total) in lines.items()}


def main() -> int:
    """Print what is below its floor; exit code 1 where anything is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)], check=True)
        found = measured(json.loads(path.read_text()))
    low = {name: found.get(name, 0.0) for name, floor in FLOORS.items() if found.get(name, 0.0) < floor}
    for name, value in low.items():
        sys.stderr.write(f"coverage of {name} is {value:.1f} %, its floor is {FLOORS[name]:.0f} %\n")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
