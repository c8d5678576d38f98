"""``python bench/gateway`` or ``python -m bench.gateway``: run the comparison and print it."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:
    # Run as a folder: its modules are imported by their full names, and never shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from bench.gateway import fidelity, machine, page, tables, targets
from bench.gateway.environments import default_cache
from bench.gateway.measure import FULL, LIGHT, QUICK, SATURATED, STREAMED, Bench, Standing
from bench.gateway.peers.catalog import catalog, default_offramp
from bench.gateway.running import Gateway, GatewayFailed, Upstream
from bench.gateway.soak import Soaked, soak

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.gateway.measure import Effort
    from bench.gateway.peers.catalog import Peer

SECTIONS = {"saturated": SATURATED, "streams": STREAMED, "light": LIGHT, "fidelity": (), "soak": ()}


def main() -> None:
    """Run what the command line asks for."""
    if sys.platform != "linux":
        sys.exit("bench/gateway needs Linux: it pins processes to cores and reads their CPU clocks.")
    asked = _arguments()
    # An end by a signal is an end like any other: what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    described = machine.describe()
    peers = _chosen(catalog(asked.offramp, asked.cache), asked.only)
    standings = {one.name: _standing(one, asked) for one in peers}
    print(tables.header(described, standings.values()), flush=True)
    with tempfile.TemporaryDirectory() as folder, Upstream(Path(folder)) as upstream:
        parts = tuple(part for section in asked.sections for part in SECTIONS[section])
        bench = Bench(upstream, _effort(asked), asked.realtime, parts, asked.same_body, asked.unique)
        if parts:
            bench.rounds(peers, standings)
        if "fidelity" in asked.sections:
            _probe(peers, standings, bench)
        soaked = _soak(peers, standings, bench) if "soak" in asked.sections else None
    verdicts = targets.judge(standings, soaked)
    print(_report(list(standings.values()), soaked, verdicts, asked.sections))
    print(f"\n{time.monotonic() - started:.0f} s in all")
    if asked.page:
        asked.page.write_text(page.page(described, list(standings.values()), verdicts))
    if asked.json:
        result = {
            "machine": described,
            "effort": asdict(bench.effort),
            "gateways": [asdict(one) for one in standings.values()],
            "soak": asdict(soaked) if isinstance(soaked, Soaked) else soaked,
            "promises": [{**asdict(one), "verdict": one.word} for one in verdicts],
        }
        asked.json.write_text(json.dumps(_finite(result), indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/gateway", description="The gateway beside its peers.")
    parser.add_argument("--quick", action="store_true", help="one short round, about four minutes")
    parser.add_argument("--rounds", type=int, help=f"rounds (default {FULL.rounds}, quick {QUICK.rounds})")
    parser.add_argument(
        "--soak", type=int, help=f"calls of the memory test (default {FULL.soak_calls:,}); 0: none"
    )
    parser.add_argument(
        "--only", type=_list, default=[], help="gateways by parts of their names, with commas"
    )
    parser.add_argument("--sections", type=_sections, default=list(SECTIONS), help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--page", type=Path, help="write the summary of docs/benchmarks.md to this file")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="environments of the peers (%(default)s)"
    )
    parser.add_argument(
        "--same-body", action="store_true", help="one request for all: does a cache help anybody?"
    )
    parser.add_argument(
        "--unique",
        action="store_true",
        help="requests that repeat no history: the worst case of the recorder",
    )
    parser.add_argument("--no-install", action="store_true", help="use only peers that are installed already")
    parser.add_argument(
        "--offramp", type=Path, default=default_offramp(), help="offramp's command (%(default)s)"
    )
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="light load under a real-time priority (root; for a shared machine)",
    )
    asked = parser.parse_args()
    if asked.realtime and (os.geteuid() or not shutil.which("chrt")):
        parser.error("--realtime needs root and the command chrt (util-linux)")
    return asked


def _list(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _sections(text: str) -> list[str]:
    asked = _list(text)
    unknown = [one for one in asked if one not in SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: sections are {', '.join(SECTIONS)}")
    return asked


def _effort(asked: argparse.Namespace) -> Effort:
    effort = QUICK if asked.quick else FULL
    rounds = effort.rounds if asked.rounds is None else asked.rounds
    calls = effort.soak_calls if asked.soak is None else asked.soak
    return replace(effort, rounds=rounds, soak_calls=calls)


def _chosen(peers: Sequence[Peer], only: Sequence[str]) -> list[Peer]:
    """Return the gateways asked for; the direct way is always among them, for the differences."""
    wanted = [part.lower() for part in only]
    return [
        one
        for one in peers
        if one.name == "direct" or not wanted or any(part in one.name.lower() for part in wanted)
    ]


def _standing(peer: Peer, asked: argparse.Namespace) -> Standing:
    problem = peer.problem()
    if problem and not asked.no_install:
        problem = peer.install()
    return Standing(peer.name, "" if problem else peer.version(), problem)


def _probe(peers: Sequence[Peer], standings: dict[str, Standing], bench: Bench) -> None:
    for peer in peers:
        standing = standings[peer.name]
        if standing.problem:
            continue
        print(f"fidelity: {peer.name} ...", file=sys.stderr, flush=True)
        try:
            with Gateway(peer, bench.upstream) as gateway:
                standing.fidelity = fidelity.probe_all(gateway, bench.upstream)
        except (GatewayFailed, OSError, ValueError) as error:
            standing.problem = f"fidelity: {error}"
    bench.upstream.become("plain")


def _soak(peers: Sequence[Peer], standings: dict[str, Standing], bench: Bench) -> Soaked | str | None:
    ours = next((one for one in peers if one.name == targets.OURS), None)
    if ours is None or not bench.effort.soak_calls:
        return None
    if standings[ours.name].problem:
        return standings[ours.name].problem
    print(f"soak: {bench.effort.soak_calls:,} calls ...", file=sys.stderr, flush=True)
    return soak(bench, ours)


def _report(
    standings: list[Standing],
    soaked: Soaked | str | None,
    verdicts: list[targets.Verdict],
    sections: Sequence[str],
) -> str:
    made: dict[str, Callable[[], str]] = {
        "saturated": lambda: tables.saturation(standings),
        "streams": lambda: tables.streams(standings),
        "light": lambda: tables.light(standings),
        "fidelity": lambda: tables.fidelity(standings),
        "soak": lambda: tables.memory(soaked),
    }
    parts = [make() for name, make in made.items() if name in sections]
    return "\n".join([*parts, tables.starts(standings), tables.faults(standings), tables.promises(verdicts)])


def _finite(value: Any) -> Any:
    """Return JSON in which what was not measured is null."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
