"""Every kind of candidate on recorded calls: what it learns, what it costs, and what the model said it would.

    python bench/candidates.py [--kinds cache,template,classifier] [--limit N] [FILE.jsonl.gz ...]

For each unit of the calls (a task, or the group of all tool-call tasks), each kind is trained on its training
calls and measured on its validation calls, as in a night: agreement with the teacher, and the share of the
calls that it could be certified for at alpha 5 and 10 % (optimistic: see `expected_coverage`). Then CPU
seconds (they do not depend on what else the machine does): of the training, and of one answer asked alone,
beside what the cost model says about a laptop. "keeps" is the share of wrong answers among what it answers at
all, before any threshold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app import build
from offramp.app.models import base_shape
from offramp.config import load
from offramp.core.call import Call
from offramp.core.errors import OfframpError
from offramp.curate.curate import curate
from offramp.demo import traffic
from offramp.discover.discover import discover
from offramp.engine.embedder import SentenceEmbedder
from offramp.engine.specialist import TaskRequest
from offramp.loop.candidates import CANDIDATES
from offramp.loop.candidates.running import Site, site_of
from offramp.loop.ladder import Brief, make
from offramp.loop.pipeline import SHARES
from offramp.loop.score import held_out_confidence, score
from offramp.plan.devices import find_device
from offramp.select import KINDS, expected_coverage, units_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.dataset import Item
    from offramp.engine.specialist import Specialist
    from offramp.loop.ladder import Workshop

DELTA = 0.1
ALPHAS = (0.05, 0.10)
ALONE = 100
"""Calls asked one by one, for the time of one answer."""

HEAD = (
    f"{'unit':28} {'kind':11} {'calls':>6} {'agree':>6} {'wrong':>6} {'5 %':>5} {'10 %':>5} "
    f"{'train s':>8} {'ms/call':>8} {'model ms':>8} {'MB':>6}"
)


@dataclass(frozen=True)
class Measured:
    """One kind on one unit."""

    calls: int
    agreement: float
    wrong: float
    coverage: tuple[float, ...]
    training: float
    per_call: float


def main() -> None:
    """Measure the kinds given on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", default=traffic.files(), help="default: the sample")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(CANDIDATES)}")
    parser.add_argument("--limit", type=int, help="read about this many calls of each file, the first ones")
    parser.add_argument("--device", default="cpu-laptop", help="device of the cost model")
    arguments = parser.parse_args()
    calls = [call for path in arguments.files for call in read(path)[: arguments.limit]]
    discovery = discover(calls)
    device = find_device(arguments.device)
    print(HEAD)
    with tempfile.TemporaryDirectory() as home:
        app = build(load(overrides={"home": Path(home)}))
        # An encoder that remembers would make each kind look cheaper than the one before.
        workshop = replace(app.workshop(lambda _: None), embedder=SentenceEmbedder())
        for unit in units_of(discovery.tasks):
            brief = Brief(unit, curate(calls, discovery.assignment, unit.tasks, shares=SHARES))
            site = site_of(brief.train, device, calls=len(brief.train), base=base_shape(app.settings))
            for kind in arguments.kinds.split(","):
                line(kind, brief, workshop, site)
        app.close()


def read(path: Path) -> list[Call]:
    """Read one file of recorded calls: ``request``, ``response``, and where known ``session`` and ``ts``."""
    calls = []
    with gzip.open(path, "rt") as file:
        for number, text in enumerate(file):
            row = json.loads(text)
            at = datetime.fromisoformat(row["ts"]).timestamp() if row.get("ts") else float(number)
            session = str(row.get("session") or row["id"])
            calls.append(Call(row["id"], at, session, "", row["request"], row["response"]))
    return calls


def line(kind: str, brief: Brief, workshop: Workshop, site: Site) -> None:
    """Print one line."""
    name = f"{brief.unit.name[:28]:28} {kind:11}"
    try:
        found = measured(kind, brief, workshop)
    except OfframpError as error:
        print(f"{name} {error}")
        return
    running = CANDIDATES[kind].running(site)
    covered = " ".join(f"{100 * share:5.0f}" for share in found.coverage)
    print(
        f"{name} {found.calls:6} {100 * found.agreement:6.1f} {100 * found.wrong:6.1f} {covered} "
        f"{found.training:8.1f} {1000 * found.per_call:8.2f} {1000 * running.seconds:8.2f} "
        f"{running.memory / 1e6:6.0f}",
        flush=True,
    )


def measured(kind: str, brief: Brief, workshop: Workshop) -> Measured:
    """Train one kind, ask it, and time it."""
    dataset = brief.dataset
    rows: Sequence[Item] = dataset.parts["validation"]
    if kind == "cache":
        rows = (*rows, *dataset.repeats["validation"])
    if not rows:
        raise OfframpError("no validation call is left that does not repeat a training call")
    started = cpu()
    specialist = make(kind, brief, workshop)
    training = cpu() - started
    scores = score(specialist, rows)
    confidence = held_out_confidence(scores, [row.call.session for row in rows])
    answered = scores.answered.sum()
    return Measured(
        len(rows),
        1.0 - float(scores.loss.mean()),
        float((scores.loss * scores.answered).sum() / answered) if answered else 0.0,
        tuple(expected_coverage(confidence, scores.loss, alpha, DELTA) for alpha in ALPHAS),
        training,
        alone(specialist, rows[:ALONE]),
    )


def alone(specialist: Specialist, rows: Sequence[Item]) -> float:
    """Return the median CPU seconds of one answer, asked alone."""
    times = []
    for row in rows:
        started = cpu()
        specialist.consider([TaskRequest(row.task, row.call.request)])
        times.append(cpu() - started)
    return statistics.median(times)


def cpu() -> float:
    """CPU seconds of this process so far."""
    return time.process_time()


if __name__ == "__main__":
    main()
