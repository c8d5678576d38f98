"""TRACER (``tracer-llm``), run as its README says, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench.gateway.environments import Environment
from bench.peers.traffic import representatives

from offramp.core.errors import OfframpError
from offramp.core.json import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.splits import Split
    from numpy.typing import NDArray

    from offramp.core.call import Answer
    from offramp.core.dataset import Item
    from offramp.core.json import JsonObject

PACKAGE = "tracer-llm"
TREES = ("dt", "et", "gbt", "rf", "xgb")
"""Off unless asked for, by TRACER's own command line and README."""

DEFAULT_LABELS = 8_000
"""TRACER's default of ``max_fit_labels``."""

RARE = "(rare answer)"
"""The class of answers seen fewer times than `LEAST_SEEN` in its traces; predicting it is deferring."""

LEAST_SEEN = 3
_FIT_S = 3_600
_WORKER = Path(__file__).with_name("tracer_worker.py")


@dataclass(frozen=True, slots=True)
class Routed:
    """What TRACER did with the test calls at one target.

    Attributes:
        answers: Its answer to each test call, None where it defers.
        ms: CPU milliseconds of routing one call, for the first test calls; embedding not counted.
        note: The method it deployed, or why it deployed none.
        fit_s: CPU seconds of its fit.
    """

    answers: tuple[Answer | None, ...]
    ms: tuple[float, ...]
    note: str
    fit_s: float


def environment(cache: Path) -> Environment:
    """Return TRACER's environment."""
    return Environment("tracer", cache, Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Ask:
    """What TRACER is asked for.

    Attributes:
        targets: Wanted shares of agreement.
        every_trace: Whether it may learn from all traces, or from as many as its default takes.
        timed: Test calls whose routing is timed.
    """

    targets: tuple[float, ...]
    every_trace: bool
    timed: int


def route(
    environment: Environment,
    drawn: Split,
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    ask: Ask,
    cache: Path,
) -> list[Routed]:
    """Fit TRACER on all calls before the test part, and route the test part.

    Args:
        environment: Where it is installed.
        drawn: Its traces are train, validation and calibration calls together: it splits them itself.
        vectors: Embeddings of these, and of the test calls; shapes (traces, d) and (tests, d).
        ask: What it is asked for.
        cache: Folder of what it said before.

    Returns:
        One result per target, in their order.

    Raises:
        OfframpError: Its process failed; the message quotes it.
    """
    rows = [row for part in ("train", "validation", "calibration") for row in drawn.parts[part]]
    plan = {
        "targets": ask.targets,
        "skip": TREES,
        "max_fit_labels": len(rows) if ask.every_trace else DEFAULT_LABELS,
        "timed": ask.timed,
    }
    code = [path.read_text() for path in (_WORKER, environment.requirements)]
    path = cache / f"tracer-{digest([drawn.fingerprint, plan, code], size=8)}.json"
    if not path.exists():
        results = _fitted(environment, rows, vectors, plan)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results))
    results = json.loads(path.read_text())
    answers = representatives(rows)
    return [_routed(results[str(target)], answers, len(drawn.parts["test"])) for target in ask.targets]


def _fitted(
    environment: Environment,
    rows: Sequence[Item],
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    plan: JsonObject,
) -> JsonObject:
    seen = Counter(row.example.completion for row in rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(plan))
        with (folder / "traces.jsonl").open("w") as file:
            for row in rows:
                label = row.example.completion if seen[row.example.completion] >= LEAST_SEEN else RARE
                file.write(json.dumps({"input": row.example.prompt, "teacher": label}) + "\n")
        np.save(folder / "traces.npy", vectors[0])
        np.save(folder / "test.npy", vectors[1])
        return _run(environment, folder)


def _run(environment: Environment, folder: Path) -> JsonObject:
    # -P: the folder of the worker is no place to import from, for it holds a module of TRACER's name.
    argv = [environment.binary("python"), "-P", str(_WORKER), str(folder)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_FIT_S, check=False, env=env)
    except subprocess.TimeoutExpired as error:
        raise OfframpError(f"TRACER took more than {_FIT_S} s") from error
    if done.returncode:
        raise OfframpError(f"TRACER failed: {done.stderr.strip()[-300:]}")
    results: JsonObject = json.loads((folder / "results.json").read_text())
    return results


def _routed(result: JsonObject, answers: dict[str, Answer], tests: int) -> Routed:
    if result["method"] is None:
        return Routed((None,) * tests, (), result["note"], result["fit_s"])
    given = tuple(answers.get(label) if label is not None else None for label in result["labels"])
    return Routed(given, tuple(result["ms"]), result["method"], result["fit_s"])
