"""offramp's own students: trained once a split, scored on its parts, kept as plain arrays."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offramp.core.errors import EngineError
from offramp.core.json import digest
from offramp.engine.embedder import packaged_model
from offramp.engine.specialist import TaskRequest
from offramp.loop.ladder import Brief, Tools, Workshop, make, open_specialist
from offramp.loop.score import Scores, score

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.peers.splits import Split
    from bench.peers.traffic import Traffic

    from offramp.core.json import JsonObject
    from offramp.core.model import Example
    from offramp.engine.embedder import Embedder
    from offramp.engine.port import Engine
    from offramp.engine.specialist import Specialist

SCORED = ("validation", "calibration", "test")
TIMED = 40
"""Test calls answered one at a time for the latency figures."""

_FIELDS = ("features", "similarity", "answered", "loss")
_SOURCES = {
    "cache": ("engine/cache_specialist.py",),
    "template": ("engine/template_specialist.py", "train/template.py", "train/values.py"),
    "classifier": ("engine/label_specialist.py", "engine/classifier.py", "train/classifier.py"),
    "extractive": ("engine/extractive*.py", "train/extractive*.py", "loop/candidates/extractive.py"),
}
"""What a student is made by, under src/offramp: other code makes another student."""


@dataclass(frozen=True, slots=True)
class Student:
    """One trained candidate on one split.

    Attributes:
        kind: Its kind on the ladder.
        scores: By part, what it said and whether that was right.
        ms: CPU milliseconds of answering one call alone, embedding included, for the first test calls.
        train_s: CPU seconds of its training.
    """

    kind: str
    scores: dict[str, Scores]
    ms: tuple[float, ...]
    train_s: float


@dataclass(frozen=True, slots=True)
class School:
    """What students are trained with.

    Attributes:
        cache: Folder of figures of students that were trained before.
        known: Looks embeddings up: for training and scoring.
        embedder: Computes them: for the latency figures.
    """

    cache: Path
    known: Embedder
    embedder: Embedder

    def student(self, kind: str, traffic: Traffic, drawn: Split) -> Student:
        """Train and score a kind, or read what the same code made of the same split before.

        Raises:
            OfframpError: The kind cannot do these tasks; the message says why.
        """
        path = (
            self.cache
            / traffic.source.name
            / f"{kind}-{digest([drawn.fingerprint, made_by(kind)], size=8)}.npz"
        )
        if path.exists():
            return _read(path, kind)
        student = self._trained(kind, traffic, drawn)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, student)
        return student

    def _trained(self, kind: str, traffic: Traffic, drawn: Split) -> Student:
        assert traffic.unit is not None, "students are trained for convertible traffic only"
        dataset = drawn.dataset
        with tempfile.TemporaryDirectory() as folder:
            workshop = Workshop(
                Path(folder), self.known, _no_engine, _no_adapter, base="", encoder=packaged_model()
            )
            started = time.process_time()
            specialist = make(kind, Brief(traffic.unit, dataset), workshop)
            train_s = time.process_time() - started
            scores = {part: score(specialist, dataset.parts[part]) for part in SCORED}
            alone = open_specialist(
                Path(folder) / specialist.card.id, Tools(lambda: self.embedder, _no_engine)
            )
            requests = [TaskRequest(row.task, row.call.request) for row in dataset.parts["test"][:TIMED]]
            alone.consider(requests[:1])
            ms = tuple(_timed(alone, one) for one in requests)
        return Student(kind, scores, ms, train_s)


def made_by(kind: str, root: Path | None = None) -> str:
    """Hash the code that makes and runs a kind of student."""
    root = root or Path(__file__).parents[2] / "src/offramp"
    files = sorted(path for pattern in _SOURCES[kind] for path in root.glob(pattern))
    return digest([path.read_text() for path in files], size=6)


def _timed(specialist: Specialist, one: TaskRequest) -> float:
    started = time.process_time()
    specialist.consider([one])
    return (time.process_time() - started) * 1e3


def _write(path: Path, student: Student) -> None:
    arrays = {
        f"{part}_{field}": getattr(scores, field)
        for part, scores in student.scores.items()
        for field in _FIELDS
    }
    # Under another name until it is whole, for a run may be broken off.
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, ms=np.array(student.ms), train_s=np.array(student.train_s), **arrays)
    partial.replace(path)


def _read(path: Path, kind: str) -> Student:
    with np.load(path, allow_pickle=False) as arrays:
        scores = {part: Scores(*(arrays[f"{part}_{field}"] for field in _FIELDS)) for part in SCORED}
        return Student(kind, scores, tuple(arrays["ms"].tolist()), float(arrays["train_s"]))


def _no_engine() -> Engine:
    raise EngineError("The bench runs no engine.")


def _no_adapter(train: Iterable[Example], validation: Iterable[Example], out: Path, /) -> JsonObject:
    del train, validation, out
    raise EngineError("The bench trains no adapter.")
