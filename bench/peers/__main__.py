"""``python bench/peers`` or ``python -m bench.peers``: offramp beside its peers, on the same splits."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:
    # Run as a folder: its modules are imported by their full names, and never shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from bench.gateway.environments import default_cache
from bench.peers import tables, targets, tracer
from bench.peers.measure import KINDS, SYSTEMS, TRACER, Bench, Measured
from bench.peers.students import School
from bench.peers.traffic import SOURCES, Traffic, load
from bench.peers.vectors import known

from offramp.config import ASSETS
from offramp.engine.embedder import SentenceEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers.traffic import Source

SPLITS = 20
DATA = Path(__file__).resolve().parents[3] / "shared/data/calls"
SAMPLE = ASSETS / "traffic"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured; it travels to other processes.

    Attributes:
        source: The traffic.
        data: Folder of its file.
        cache: Folder of environments, embeddings and figures of trained students.
        systems: Names of the systems.
        kinds: Kinds of offramp's students.
        tracer: Whether TRACER can run.
    """

    source: Source
    data: Path
    cache: Path
    systems: tuple[str, ...]
    kinds: tuple[str, ...]
    tracer: bool


def main() -> None:
    """Run what the command line asks for."""
    asked = _arguments()
    started = time.monotonic()
    problem = _problem(asked)
    if problem:
        print(f"{TRACER} is left out: {problem}", flush=True)
    parts: list[tuple[Traffic, list[Measured]]] = []
    for source in asked.only:
        plan = Plan(source, asked.data, asked.cache, asked.systems, asked.students, tracer=not problem)
        try:
            traffic = load(source, plan.data, bundled=plan.data == SAMPLE)
        except FileNotFoundError as error:
            print(f"{source.title} is left out: {error}", flush=True)
            continue
        measured = list(_measured(plan, traffic, asked.splits, asked.jobs))
        print(tables.comparison(traffic, measured), flush=True)
        print(tables.members(measured), flush=True)
        parts.append((traffic, measured))
    verdicts = targets.judge({traffic.source.name: tables.summaries(found) for traffic, found in parts})
    print(tables.promises(verdicts))
    print(f"\n{time.monotonic() - started:.0f} s in all")
    if asked.page:
        asked.page.write_text(tables.page(parts, verdicts, _where(asked)))
    if asked.json:
        result = {
            "where": _where(asked),
            "traffic": {traffic.source.name: [asdict(one) for one in found] for traffic, found in parts},
            "promises": [{**asdict(one), "verdict": one.word} for one in verdicts],
        }
        asked.json.write_text(json.dumps(_finite(result), indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/peers", description="The certified takeover beside its peers."
    )
    parser.add_argument("--splits", type=_positive, default=SPLITS, help="random splits (%(default)s)")
    parser.add_argument(
        "--only", type=_sources, default=list(SOURCES), help="traffic by parts of its names, with commas"
    )
    parser.add_argument(
        "--systems", type=_systems, default=SYSTEMS, help="systems by parts of their names, with commas"
    )
    parser.add_argument(
        "--students", type=_list, default=KINDS, help="kinds of offramp's students, with commas"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA if DATA.is_dir() else SAMPLE,
        help="folder of the recorded calls (%(default)s)",
    )
    parser.add_argument("--jobs", type=_positive, default=1, help="splits measured at once (%(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="environments, embeddings, students (%(default)s)"
    )
    parser.add_argument("--no-install", action="store_true", help="use only peers that are installed already")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--page", type=Path, help="write the tables of docs/peers.md to this file")
    return parser.parse_args()


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} was given; a number from 1 is needed")
    return int(text)


def _list(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _sources(text: str) -> list[Source]:
    found = [source for source in SOURCES if any(part in source.name for part in _list(text))]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: traffic is {', '.join(one.name for one in SOURCES)}")
    return found


def _systems(text: str) -> tuple[str, ...]:
    whole = {name.lower() for name in SYSTEMS}
    found = tuple(
        name
        for name in SYSTEMS
        # A whole name means that system alone, though it is a part of another's.
        if any(
            part == name.lower() or (part not in whole and part in name.lower())
            for part in _list(text.lower())
        )
    )
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: systems are {', '.join(SYSTEMS)}")
    return found


def _problem(asked: argparse.Namespace) -> str:
    """Say why TRACER cannot run, "" where it can; install it where that is allowed."""
    if not any(name.startswith(TRACER) for name in asked.systems):
        return ""
    environment = tracer.environment(asked.cache)
    problem = environment.problem()
    return environment.install() if problem and not asked.no_install else problem


def _bench(plan: Plan, traffic: Traffic) -> Bench:
    cache, embedder = plan.cache / "peers", SentenceEmbedder()
    school = School(cache, known(traffic, cache, embedder), embedder)
    environment = tracer.environment(plan.cache) if plan.tracer else None
    return Bench(traffic, school, environment, plan.systems, plan.kinds)


def _measured(plan: Plan, traffic: Traffic, splits: int, jobs: int) -> Iterator[Measured]:
    if jobs == 1:
        bench = _bench(plan, traffic)
        yield from (bench.split(number) for number in range(splits))
        return
    with ProcessPoolExecutor(jobs, initializer=_start, initargs=(plan,)) as pool:
        yield from pool.map(_split, range(splits))


_running: Bench | None = None


def _start(plan: Plan) -> None:
    """Make the bench of a process of the pool."""
    global _running  # noqa: PLW0603 - one per process, made by the pool
    _running = _bench(plan, load(plan.source, plan.data, bundled=plan.data == SAMPLE))


def _split(number: int) -> Measured:
    assert _running is not None
    return _running.split(number)


def _where(asked: argparse.Namespace) -> str:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    version = tracer.environment(asked.cache).version(tracer.PACKAGE)
    return f"{day}, {asked.splits} splits; TRACER {version}; CPU times of one thread."


def _finite(value: Any) -> Any:
    """Return JSON in which what was not measured is null."""
    if isinstance(value, dict):
        return {str(name): _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
