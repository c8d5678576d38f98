"""Task discovery against known call sites.

    python bench/discover.py [FILE.jsonl.gz ...]

Each file holds recorded calls, one JSON object per line: ``request``, ``response``, and where known
``session`` (or ``meta.episode``), ``ts`` and a call site (``meta.call_site`` or ``subtask``), which is
used to score and never read by discovery. Prints the adjusted Rand index of the found tasks against
the call sites, for all files together and each alone, and what discovery and assignment cost.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from datetime import datetime
from pathlib import Path

from sklearn.metrics import adjusted_rand_score

from offramp.core.call import Call
from offramp.demo import traffic
from offramp.discover.discover import Discovery, discover

TIMED_CALLS = 20_000


def main() -> None:
    """Score the files given on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", default=traffic.files(), help="default: the sample")
    parser.add_argument("--tasks", action="store_true", help="list the tasks found")
    arguments = parser.parse_args()
    loaded = {path.name.removesuffix(".jsonl.gz"): read(path) for path in arguments.files}
    print(f"{'traffic':34} {'calls':>7} {'sites':>6} {'tasks':>6} {'ARI':>7} {'unassigned':>11}")
    if len(loaded) > 1:
        score("all", [item for listed in loaded.values() for item in listed], tasks=arguments.tasks)
    for name, labelled in loaded.items():
        score(name, labelled, tasks=arguments.tasks and len(loaded) == 1)
    measure([call for listed in loaded.values() for call, _ in listed])


def read(path: Path) -> list[tuple[Call, str | None]]:
    """Read one file as calls with their call sites."""
    result: list[tuple[Call, str | None]] = []
    with gzip.open(path, "rt") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            meta = row.get("meta") or {}
            at = datetime.fromisoformat(row["ts"]).timestamp() if row.get("ts") else float(number)
            session = row.get("session") or meta.get("episode") or meta.get("case") or row["id"]
            status = int(meta.get("status") or 200)
            call = Call(row["id"], at, str(session), "", row["request"], row["response"], status, meta=meta)
            result.append((call, call_site(row)))
    return result


def call_site(row: dict[str, object]) -> str | None:
    """Return the call site of a row; labels that name an *answer* are folded into their site."""
    meta = row.get("meta")
    if isinstance(meta, dict) and meta.get("call_site"):
        return str(meta["call_site"])
    label = row.get("subtask")
    if not isinstance(label, str):
        return None
    if label.startswith("intent:"):
        return "router"
    return "agent" if label == "respond" or label.startswith("tool:") else label


def score(name: str, labelled: list[tuple[Call, str | None]], *, tasks: bool) -> None:
    """Print one line, and the tasks where asked for."""
    found = discover([call for call, _ in labelled])
    known = [(site, found.assignment.get(call.id, call.id)) for call, site in labelled if site is not None]
    ari = adjusted_rand_score([site for site, _ in known], [task for _, task in known])
    sites = len({site for site, _ in known})
    left = len(labelled) - len(found.assignment)
    print(f"{name:34} {len(labelled):7} {sites:6} {len(found.tasks):6} {ari:7.4f} {left:11}")
    if tasks:
        show(found)


def show(found: Discovery) -> None:
    """Print the tasks."""
    for task in found.tasks:
        yes = "yes" if task.convertible else "no"
        print(
            f"  {task.id} {task.calls:6} {task.sessions:6} {task.output:9} {yes:3} {task.slug:24} {task.name}"
        )
        print(f"      {task.reason}")


def measure(calls: list[Call]) -> None:
    """Print seconds for 20,000 calls and microseconds for one assignment."""
    timed = (calls * (TIMED_CALLS // len(calls) + 1))[:TIMED_CALLS]
    timed = [
        Call(f"{i}", c.at, f"{c.session}/{i // len(calls)}", "", c.request, c.response, c.status)
        for i, c in enumerate(timed)
    ]
    start = time.process_time()
    found = discover(timed)
    print(f"discover: {time.process_time() - start:.2f} cpu-s for {TIMED_CALLS} calls")
    micros: list[float] = []
    for call in timed[:: max(1, len(timed) // 5000)]:
        start = time.perf_counter()
        found.assigner.assign(call.request)
        micros.append((time.perf_counter() - start) * 1e6)
    micros.sort()
    p50, p99 = micros[len(micros) // 2], micros[int(len(micros) * 0.99)]
    print(f"assign: {p50:.1f} us median, {p99:.1f} us at the 99th percentile")


if __name__ == "__main__":
    main()
