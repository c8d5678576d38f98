"""Students on the same calls: what each costs, how often it is right, what it can be certified for.

    python bench/students.py [FILE.jsonl.gz ...] [--kinds extractive,classifier,lora] [--splits 1]
        [--tools tools-loose]

Each file holds recorded calls, one JSON object per line, as in ``bench/discover.py``; the default is the
bundled home assistant and intent router. Calls without a session are sessions of their own, in an order
drawn with the split's seed. Every unit of tasks that discovery forms is split 60/15/15/10 into training,
validation, calibration and test calls; students are trained, calibrated and certified as a night does it,
by the same code. "Certified" is the coverage of the certificate that a night issues, at delta 5 %; where the
unit is a group, members that validation finds too risky defer or are held to a stricter threshold. "Pooled"
is the coverage of a certificate over all calls as if they were one task, which says nothing about a member.
Risk is what was seen on the test calls at the certified threshold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.certificate import certify_group, certify_task
from offramp.certify.terms import Terms
from offramp.certify.units import ScoredCalls
from offramp.core.call import Call, OutputType
from offramp.core.errors import OfframpError
from offramp.core.measure import FITTING, Measure, Measures
from offramp.core.render import parse_completion
from offramp.curate.curate import curate
from offramp.curate.split import Shares
from offramp.demo import traffic
from offramp.discover.discover import discover
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.embedder import Remembering, SentenceEmbedder, packaged_model
from offramp.engine.nano import NANO_BASE
from offramp.engine.specialist import TaskRequest
from offramp.loop.ladder import Brief, Workshop, make
from offramp.loop.score import fit_confidence, held_out_confidence, score
from offramp.select import units_of
from offramp.train.lora import LoraOptions, train_lora

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.certificate import Certificate
    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject
    from offramp.core.model import Example
    from offramp.engine.specialist import Specialist
    from offramp.loop.score import Confidence, Scores

SHARES = Shares(train=0.6, validation=0.15, calibration=0.15, test=0.1)
ALPHAS = (0.05, 0.10)
DELTA = 0.05
BUNDLED = ("home_assistant", "intent_router")


@dataclass(frozen=True)
class Measured:
    """One student on one split.

    Attributes:
        unit: Name of the unit.
        kind: Kind of the student.
        seconds: CPU seconds of training, everything included.
        names: Share of test calls with the right tool or label.
        exact: Share of test calls with the whole answer right.
        coverage: Certified coverage at each alpha, 0 where nothing was certified.
        pooled: The same as if all calls were of one task.
        risk: Share of wrong answers among the answered test calls, at each alpha.
        micros: CPU microseconds of one answer, in batches.
    """

    unit: str
    kind: str
    seconds: float
    names: float
    exact: float
    coverage: tuple[float, ...]
    pooled: tuple[float, ...]
    risk: tuple[float, ...]
    micros: float


def main() -> None:
    """Measure the students asked for on the files given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", default=bundled(), help="default: the bundled sample")
    parser.add_argument("--kinds", default="classifier,extractive", help="comma-separated; lora is slow")
    parser.add_argument("--splits", type=int, default=1, help="random splits to average over")
    parser.add_argument("--least", type=int, default=1000, help="leave out units with fewer calls")
    parser.add_argument(
        "--tools",
        type=Measure,
        choices=FITTING[OutputType.TOOL_CALL],
        default=Measure.TOOLS,
        help="in which sense tool calls agree",
    )
    arguments = parser.parse_args()
    measures = Measures(forms={OutputType.TOOL_CALL: arguments.tools})
    print(f"{'unit':24} {'student':11} {'train':>7} {'name':>6} {'exact':>6}", end="")
    heads = (f"  {f'pooled {alpha:.0%}':>10} {'certified':>9} {'risk':>6}" for alpha in ALPHAS)
    print("".join(heads), f"{'us/call':>8}")
    for path in arguments.files:
        found = [
            one
            for seed in range(arguments.splits)
            for one in measured(path, arguments.kinds.split(","), (seed, arguments.least), measures)
        ]
        for unit, kind in dict.fromkeys((one.unit, one.kind) for one in found):
            show([one for one in found if (one.unit, one.kind) == (unit, kind)])


def bundled() -> list[Path]:
    """Return the files of the bundled traffic that students can learn."""
    return [path for path in traffic.files() if path.name.split(".")[0] in BUNDLED]


def measured(path: Path, kinds: Sequence[str], drawn: tuple[int, int], measures: Measures) -> list[Measured]:
    """Train and measure on one split of one file: its seed, and the fewest calls of a unit, are given."""
    seed, least = drawn
    calls = read(path, seed)
    discovery = discover(calls, measures=measures)
    results = []
    embedder = Remembering(SentenceEmbedder())
    for unit in units_of(discovery.tasks):
        if sum(task.calls for task in unit.tasks) < least:
            continue
        brief = Brief(unit, curate(calls, discovery.assignment, unit.tasks, shares=SHARES))
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                workshop = workshop_in(Path(folder), embedder, seed)
                try:
                    results.append(measure(kind, brief, workshop))
                except OfframpError as error:
                    print(f"{unit.name[:24]:24} {kind:11} not tried: {error}")
    return results


def read(path: Path, seed: int) -> list[Call]:
    """Read one file; calls without a session get an order drawn with the seed."""
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    random.Random(seed).shuffle(rows)
    calls = []
    for number, row in enumerate(rows):
        meta = row.get("meta") or {}
        session = str(row.get("session") or meta.get("episode") or row["id"])
        at = datetime.fromisoformat(row["ts"]).timestamp() if row.get("session") and row.get("ts") else number
        calls.append(Call(row["id"], float(at), session, "", row["request"], row["response"], meta=meta))
    return calls


def workshop_in(folder: Path, embedder: Remembering, seed: int) -> Workshop:
    """Make what students are made with; one thread each."""

    def adapter(train: Sequence[Example], validation: Sequence[Example], out: Path) -> JsonObject:
        options = LoraOptions(seed=seed)
        result = train_lora(
            train, validation, base=NANO_BASE, out=out, options=options, on_progress=lambda _: None
        )
        return {"cpu_seconds": result.cpu_seconds}

    engines: list[EmbeddedEngine] = []

    def engine() -> EmbeddedEngine:
        if not engines:
            engines.append(EmbeddedEngine(NANO_BASE, threads=1))
        return engines[0]

    return Workshop(folder, embedder, engine, adapter, "nano", seed=seed, encoder=packaged_model())


def measure(kind: str, brief: Brief, workshop: Workshop) -> Measured:
    """Train, calibrate, certify and test one student."""
    parts = brief.dataset.parts
    started = time.process_time()
    specialist = make(kind, brief, workshop)
    seconds = time.process_time() - started
    validation, calibration = (score(specialist, parts[part]) for part in ("validation", "calibration"))
    held_out = held_out_confidence(validation, [row.call.session for row in parts["validation"]])
    confidence = fit_confidence(validation)
    started = time.process_time()
    test = score(specialist, parts["test"])
    micros = 1e6 * (time.process_time() - started) / len(test)
    evidence = (
        scored(parts["validation"], held_out, validation),
        scored(parts["calibration"], confidence.of(calibration), calibration),
    )
    certificates = [certified(brief, specialist, evidence, alpha) for alpha in ALPHAS]
    pooled = [certify_task(("", ""), "", *map(as_one, evidence), Terms(alpha, DELTA)) for alpha in ALPHAS]
    return Measured(
        brief.unit.name,
        kind,
        seconds,
        names_right(specialist, parts["test"]),
        1.0 - float(test.loss.mean()),
        tuple(one.coverage if one.holds else 0.0 for one in certificates),
        tuple(one.coverage if one.holds else 0.0 for one in pooled),
        tuple(seen_risk(one, confidence, test, parts["test"]) for one in certificates),
        micros,
    )


def certified(
    brief: Brief, specialist: Specialist, evidence: tuple[ScoredCalls, ScoredCalls], alpha: float
) -> Certificate:
    """Certify a unit as a night does."""
    terms = Terms(alpha=alpha, delta=DELTA)
    if brief.unit.is_group:
        versions = {task.id: task.version for task in brief.unit.tasks}
        return certify_group(versions, specialist.card.id, *evidence, terms)
    (task,) = brief.unit.tasks
    return certify_task((task.id, task.version), specialist.card.id, *evidence, terms)


def as_one(calls: ScoredCalls) -> ScoredCalls:
    """Forget which task each call is of."""
    return replace(calls, task=[""] * len(calls))


def scored(rows: Sequence[Item], confidence: np.ndarray, scores: Scores) -> ScoredCalls:
    """Put confidences and losses beside their calls."""
    return ScoredCalls(
        task=[row.task for row in rows],
        session=[row.call.session for row in rows],
        call=[row.call.id for row in rows],
        confidence=np.clip(confidence, 0.0, 1.0),
        loss=scores.loss == 1.0,
    )


def seen_risk(certificate: Certificate, confidence: Confidence, test: Scores, rows: Sequence[Item]) -> float:
    """Return the share of wrong answers among the test calls that would have been answered."""
    if not certificate.holds or certificate.threshold is None:
        return 0.0
    floors = {one.task: np.inf if one.deferred else one.floor for one in certificate.members}
    least = np.array([max(certificate.threshold, floors.get(row.task, 0.0)) for row in rows])
    answered = confidence.of(test) >= least
    return float(test.loss[answered].mean()) if answered.any() else 0.0


def names_right(specialist: Specialist, rows: Sequence[Item]) -> float:
    """Return the share of calls with the right tool or label."""
    considered = specialist.consider([TaskRequest(row.task, row.call.request) for row in rows])
    right = 0
    for seen, row in zip(considered, rows, strict=True):
        output = specialist.card.tasks[row.task].output
        wanted = parse_completion(output, row.example.completion)
        if seen.answer is not None and wanted is not None:
            right += head(output, seen.answer) == head(output, wanted)
    return right / len(rows)


def head(output: OutputType, answer: object) -> object:
    """Return the tool's name, or the whole label."""
    calls = getattr(answer, "tool_calls", ())
    return calls[0].name if output is OutputType.TOOL_CALL and calls else getattr(answer, "text", "")


def show(found: Sequence[Measured]) -> None:
    """Print the mean over splits."""
    one = found[0]
    seconds, names, exact, micros = (
        float(np.mean([getattr(each, field) for each in found]))
        for field in ("seconds", "names", "exact", "micros")
    )
    columns = (np.mean([getattr(each, f) for each in found], axis=0) for f in ("pooled", "coverage", "risk"))
    print(f"{one.unit[:24]:24} {one.kind:11} {seconds:6.0f}s {names:6.3f} {exact:6.3f}", end="")
    shown = (f"  {p:10.3f} {c:9.3f} {r:6.3f}" for p, c, r in zip(*columns, strict=True))
    print("".join(shown), f"{micros:8.0f}")


if __name__ == "__main__":
    main()
