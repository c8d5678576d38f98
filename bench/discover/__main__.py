"""Task discovery against known call sites: ``python bench/discover [FILE.jsonl.gz ...]``.

Takes everything in ``../shared/data/calls`` where that is there, else the bundled sample. Labels are used to
score and never read by discovery. Prints one table: agreement with the call sites, for all files as one
stream and each alone, beside what others do; stability; seconds, memory and assignment by size; targets.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in {None, ""}:
    # Run as a folder: its modules are imported by their full names, and never shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from bench.discover import baselines, costs, scores, stability, targets
from bench.discover.traffic import agent_of, mix, read, sample, sample_sessions

from offramp.demo import traffic as bundled
from offramp.discover.discover import discover

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.discover.scores import Score
    from bench.discover.targets import Target
    from bench.discover.traffic import Labelled

    from offramp.discover.discover import Discovery

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "calls"
SECTIONS = ("sites", "baselines", "stability", "costs")
SIZES = (10_000, 100_000, 1_000_000)
JUDGED = 100_000
SAMPLE = 4_000
"""Calls that every method groups where baselines are compared: embedding takes 5 ms a text."""


def main() -> None:
    """Run what the command line asks for."""
    asked = _arguments()
    if asked.measure:
        print(costs.measure(pickle.loads(asked.files[0].read_bytes()), asked.measure))
        return
    files = [read(path) for path in asked.files]
    load = os.getloadavg()[0]
    print(f"load average at the start: {load:.1f} on {os.cpu_count()} cores\n")
    everything = mix(item for file in files for item in file)
    found: dict[Target, float] = {}
    if "sites" in asked.sections:
        found |= _sites(everything, files)
    if "baselines" in asked.sections:
        _baselines(sample(everything, asked.sample))
    if "stability" in asked.sections:
        found |= _stability(sample_sessions(everything, asked.sample * 2))
    if "costs" in asked.sections:
        found |= _costs(sample(everything, costs.SEEDS_OF_GROWTH), asked.sizes)
    print("\n" + targets.table(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/discover", description=(__doc__ or "").splitlines()[0])
    default = sorted(SHARED.glob("*.jsonl.gz")) or bundled.files()
    parser.add_argument("files", type=Path, nargs="*", default=default)
    parser.add_argument("--sections", type=lambda text: text.split(","), default=SECTIONS)
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=SIZES)
    parser.add_argument("--sample", type=int, default=SAMPLE, help="calls for the baselines")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _sites(everything: Sequence[Labelled], files: Sequence[Sequence[Labelled]]) -> dict[Target, float]:
    _heading("traffic")
    whole, spent = _discovered(everything)
    overall = scores.sites(everything, whole.assignment)
    _row("all as one stream", overall, spent)
    for labelled in map(mix, files):
        found, spent = _discovered(labelled)
        _row(labelled[0].file, scores.sites(labelled, found.assignment), spent)
        agents = {i.call.id: agent for i in labelled if i.site and (agent := agent_of(i.call))}
        if agents:
            _row("  by agent: role, backstory and goal", scores.against(agents, found.assignment), spent)
    print()
    _heading("subtasks against actions, of the calls in one site")
    groups = sorted({item.site.split("/")[0] for item in everything if item.action is not None and item.site})
    worst = 1.0
    for group in groups:
        own = [item for item in everything if item.site and item.site.split("/")[0] == group and item.action]
        prompts = len({item.site for item in own})
        inside = scores.actions(own, whole)
        worst = min(worst, inside.ari)
        _row(f"{group} ({prompts} prompts)", inside, 0.0, scores.predicted(own, whole))
    return {targets.SITES: overall.ari} | ({targets.ACTIONS: worst} if groups else {})


def _discovered(labelled: Sequence[Labelled]) -> tuple[Discovery, float]:
    started = time.process_time()
    found = discover([item.call for item in labelled])
    return found, time.process_time() - started


def _baselines(labelled: Sequence[Labelled]) -> None:
    print()
    _heading(f"method, on the same {len(labelled)} calls of the stream")
    found, spent = _discovered(labelled)
    _row("offramp", scores.sites(labelled, found.assignment), spent)
    for baseline in baselines.run(labelled):
        _row(baseline.name, scores.sites(labelled, baseline.groups), baseline.seconds, baseline.remark)


def _stability(labelled: Sequence[Labelled]) -> dict[Target, float]:
    whole = discover([item.call for item in labelled])
    print(f"\nstability on {len(labelled)} calls of the stream, the worst of the runs")
    worst = 1.0
    print(f"{'':50} {'ARI, calls':>11} {'ARI, sites':>11} {'ids kept':>9}")
    for name, ran in (
        ("four of five sessions, against all", stability.resampled(labelled, whole)),
        ("every session at another time", stability.reordered(labelled, whole)),
        ("two disjoint halves, both assigning every call", stability.halves(labelled)),
        ("four nights, each with what was seen so far", stability.nightly(labelled, whole, forget=False)),
        ("four nights, each with its own calls only", stability.nightly(labelled, whole, forget=True)),
    ):
        _spread(name, ran)
        worst = min(worst, *(min(run.calls, run.sites) for run in ran))
    return {targets.STABILITY: worst}


def _costs(base: Sequence[Labelled], sizes: Iterable[int]) -> dict[Target, float]:
    found: dict[Target, float] = {}
    print(f"\n{'synthetic calls':>15} {'cpu s':>8} {'peak MB':>9} {'before':>8} {'tasks':>6}   assign us")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.pickle"
        path.write_bytes(pickle.dumps(base))
        for size in sizes:
            cost = costs.measured(path, size)
            p50, p99 = cost.assign_us
            found[targets.ASSIGNMENT] = max(p99, found.get(targets.ASSIGNMENT, 0.0))
            if size == JUDGED:
                found |= {targets.SECONDS: cost.cpu_s, targets.MEMORY: cost.peak_mb}
            print(
                f"{size:15,} {cost.cpu_s:8.1f} {cost.peak_mb:9.0f} {cost.base_mb:8.0f} {cost.tasks:6} "
                f"{p50:15.1f}, {p99:.1f}",
                flush=True,
            )
    return found


def _heading(first: str) -> None:
    print(
        f"{first:50} {'scored':>7} {'sites':>6} {'tasks':>6} {'ARI':>7} {'V':>7} {'even ARI':>9} {'cpu s':>7}"
    )


def _row(name: str, score: Score, seconds: float, remark: str = "") -> None:
    print(
        f"{name:50} {score.calls:7} {score.known:6} {score.found:6} {score.ari:7.4f} {score.v_measure:7.4f} "
        f"{score.even:9.4f} {seconds:7.1f}  {remark}",
        flush=True,
    )


def _spread(name: str, runs: Sequence[stability.Run]) -> None:
    calls, sites, kept = ([getattr(run, figure) for run in runs] for figure in ("calls", "sites", "kept"))
    print(f"{name:50} {min(calls):11.4f} {min(sites):11.4f} {min(kept):9.1%}", flush=True)


if __name__ == "__main__":
    main()
