"""One split of one traffic, every system on it."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from bench.peers import gates, tracer
from bench.peers.neighbours import SemanticCache
from bench.peers.outcomes import Outcome
from bench.peers.splits import draw
from bench.peers.students import TIMED
from bench.peers.traffic import embedded_text

from offramp.core.errors import OfframpError
from offramp.engine.specialist import with_task
from offramp.plan.devices import find_device
from offramp.plan.prices import load_prices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.gateway.environments import Environment
    from bench.peers.gates import Decided, Proof
    from bench.peers.splits import Split
    from bench.peers.students import School, Student
    from bench.peers.traffic import Traffic
    from numpy.typing import NDArray

    from offramp.core.dataset import Item
    from offramp.engine.embedder import Embedder

ALPHAS = (0.02, 0.05, 0.1)
KINDS = ("template", "classifier", "extractive")
"""Students of offramp, and of the tuned threshold."""

DEVICE = "cpu-laptop"
AUDITED = 0.05
"""Share of its answers that offramp asks the teacher about as well, by default; the peers ask about none."""

CACHE = "exact cache"
SEMANTIC = "semantic cache"
TUNED = "tuned threshold"
TRACER = "TRACER"
TRACER_ALL = "TRACER, every trace"
OFFRAMP = "offramp"
ALONE = "offramp, each task alone"
SYSTEMS = (CACHE, SEMANTIC, TUNED, TRACER, TRACER_ALL, OFFRAMP, ALONE)


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member of a group certificate on one split.

    Attributes:
        task: Its short name.
        calibration: Its calibration calls.
        deferred: Whether the group leaves it to the LLM.
        tests: Its test calls.
        answered: Of those, answered under the group's threshold.
        wrong: Of those, disagreements.
        alone: Whether it has a certificate of its own, at its share of delta.
        missing: Further calibration calls after which it could; None where its risk is too high throughout.
    """

    task: str
    calibration: int
    deferred: bool
    tests: int
    answered: int
    wrong: int
    alone: bool
    missing: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One split.

    Attributes:
        number: Its number.
        sizes: Calls by part.
        outcomes: By system, then by alpha.
        members: By alpha, the members of the group certificate; empty where there is no group.
        students: By kind, agreement on the test calls if everything were answered, or why there is none.
    """

    number: int
    sizes: dict[str, int]
    outcomes: dict[str, dict[float, Outcome]]
    members: dict[float, list[MemberView]] = field(default_factory=dict)
    students: dict[str, float | str] = field(default_factory=dict)


class Bench:
    """Measures the splits of one traffic.

    Args:
        traffic: The calls.
        school: Trains offramp's students.
        environment: TRACER's, None to leave it out.
        systems: Names of the systems wanted.
        kinds: Kinds of students wanted.
    """

    def __init__(
        self,
        traffic: Traffic,
        school: School,
        environment: Environment | None,
        systems: Sequence[str] = SYSTEMS,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        self._traffic, self._school, self._environment = traffic, school, environment
        self._systems, self._kinds = tuple(systems), tuple(kinds)
        self._price = load_prices().price(traffic.source.teacher)
        self._usd_per_ms = find_device(DEVICE).price_per_hour / 3.6e6

    def split(self, number: int) -> Measured:
        """Measure every system on one split."""
        started, drawn = time.process_time(), draw(self._traffic, number)
        measured = Measured(number, {part: len(rows) for part, rows in drawn.parts.items()}, {})
        self._caches(drawn, measured)
        if {TUNED, OFFRAMP, ALONE} & set(self._systems):
            self._gated(drawn, measured)
        self._tracer(drawn, measured)
        seconds = time.process_time() - started
        print(
            f"  {self._traffic.source.name}, split {number}: {seconds:.0f} CPU s", file=sys.stderr, flush=True
        )
        return measured

    def _caches(self, drawn: Split, measured: Measured) -> None:
        if SEMANTIC in self._systems:
            cache = SemanticCache(self._traffic, drawn, self._school.known)
            ms = cache.timed(self._school.embedder, TIMED)
            self._add(SEMANTIC, drawn, measured, {alpha: cache.decided(alpha) for alpha in ALPHAS}, ms)
        if CACHE in self._systems and self._traffic.unit is not None:
            student = self._school.student("cache", self._traffic, drawn)
            decided = gates.everything(student, drawn, self._traffic)
            self._add(CACHE, drawn, measured, dict.fromkeys(ALPHAS, decided), student.ms)

    def _gated(self, drawn: Split, measured: Measured) -> None:
        if self._traffic.unit is None:
            for name in (TUNED, OFFRAMP):
                self._refused(name, drawn, measured, f"keep the LLM: {self._traffic.refusal}")
            return
        self._offramp(self._students(drawn, measured), drawn, measured)

    def _students(self, drawn: Split, measured: Measured) -> list[Student]:
        trained = []
        for kind in self._kinds:
            try:
                student = self._school.student(kind, self._traffic, drawn)
            except OfframpError as error:
                measured.students[kind] = str(error)
                continue
            trained.append(student)
            measured.students[kind] = 1.0 - float(student.scores["test"].loss.mean())
        return trained

    def _offramp(self, students: list[Student], drawn: Split, measured: Measured) -> None:
        ms = {student.kind: student.ms for student in students}
        decided: dict[str, dict[float, Decided]] = {TUNED: {}, OFFRAMP: {}, ALONE: {}}
        for alpha in ALPHAS:
            decided[TUNED][alpha] = gates.tuned(students, drawn, self._traffic, alpha)
            proof = gates.prove(students, drawn, self._traffic, alpha)
            if isinstance(proof, str):
                decided[OFFRAMP][alpha] = decided[ALONE][alpha] = gates.nothing(drawn, proof)
                continue
            decided[OFFRAMP][alpha] = proof.decided(drawn, self._traffic)
            if self._traffic.unit is not None and self._traffic.unit.is_group:
                decided[ALONE][alpha], measured.members[alpha] = self._alone(proof, drawn, alpha)
        for name, given in decided.items():
            if given:
                self._add(name, drawn, measured, given, ms)

    def _alone(self, proof: Proof, drawn: Split, alpha: float) -> tuple[Decided, list[MemberView]]:
        """Certify each task alone, and look at each under the group's certificate."""
        assert self._traffic.unit is not None
        own = gates.prove_each(proof, self._traffic, alpha)
        parts = [proof.decided(drawn, self._traffic, certificate) for certificate in own.values()]
        certified = sum(certificate.holds for certificate in own.values())
        joined = gates.joined(parts, f"{certified} of {len(own)} tasks certified")
        group, site = proof.decided(drawn, self._traffic), np.array([row.task for row in drawn.parts["test"]])
        slugs = {task.id: task.slug for task in self._traffic.unit.tasks}
        members = [
            MemberView(
                slugs[member.task],
                member.n,
                member.deferred,
                int(np.sum(site == member.task)),
                int(np.sum(group.answered & (site == member.task))),
                int(np.sum(group.wrong & (site == member.task))),
                own[member.task].holds,
                own[member.task].calls_needed,
            )
            for member in proof.certificate.members
        ]
        return joined, members

    def _tracer(self, drawn: Split, measured: Measured) -> None:
        before = [row for part in ("train", "validation", "calibration") for row in drawn.parts[part]]
        fits = {TRACER: False, TRACER_ALL: True} if len(before) > tracer.DEFAULT_LABELS else {TRACER: False}
        for name, every_trace in fits.items():
            if self._environment is None or name not in self._systems:
                continue
            ask = tracer.Ask(tuple(1.0 - alpha for alpha in ALPHAS), every_trace=every_trace, timed=TIMED)
            vectors = (self._inputs(before), self._inputs(drawn.parts["test"]))
            cache = self._school.cache / self._traffic.source.name
            try:
                routed = tracer.route(self._environment, drawn, vectors, ask, cache)
            except OfframpError as error:
                self._refused(name, drawn, measured, str(error))
                continue
            embedding = self._embedding_ms(drawn)
            for alpha, one in zip(ALPHAS, routed, strict=True):
                decided = gates.judged(self._traffic, drawn.parts["test"], one.answers, one.note)
                ms = tuple(a + b for a, b in zip(embedding, one.ms, strict=False))
                self._add(name, drawn, measured, {alpha: decided}, ms)

    def _inputs(self, rows: Sequence[Item]) -> NDArray[np.float32]:
        """Embeddings, and the call site where there are several: what offramp's classifier sees."""
        vectors = self._school.known.embed([embedded_text(row.call.request) for row in rows])
        return with_task(vectors, [row.task for row in rows], tuple(task.id for task in self._traffic.tasks))

    def _embedding_ms(self, drawn: Split) -> tuple[float, ...]:
        texts = [embedded_text(row.call.request) for row in drawn.parts["test"][:TIMED]]
        self._school.embedder.embed(texts[:1])
        return tuple(_embedding_ms(self._school.embedder, text) for text in texts)

    def _refused(self, name: str, drawn: Split, measured: Measured, note: str) -> None:
        self._add(name, drawn, measured, dict.fromkeys(ALPHAS, gates.nothing(drawn, note)), ())

    def _add(
        self,
        name: str,
        drawn: Split,
        measured: Measured,
        decided: dict[float, Decided],
        ms: tuple[float, ...] | dict[str, tuple[float, ...]],
    ) -> None:
        if name not in self._systems:
            return
        for alpha, one in decided.items():
            each = ms.get(one.by, ()) if isinstance(ms, dict) else ms
            measured.outcomes.setdefault(name, {})[alpha] = Outcome(
                tests=len(one.answered),
                answered=int(one.answered.sum()),
                wrong=int(one.wrong.sum()),
                usd=self._usd(one, drawn, each, AUDITED if name in {OFFRAMP, ALONE} else 0.0),
                ms=tuple(value for value, said in zip(each, one.answered, strict=False) if said),
                note=one.note,
            )

    def _usd(self, decided: Decided, drawn: Split, ms: Sequence[float], audited: float) -> float:
        """USD per 1,000 test calls; every call pays the processor, a deferred one too."""
        rows = drawn.parts["test"]
        each = np.array(
            [
                self._price.call(
                    input_tokens=row.call.usage.prompt_tokens, output_tokens=row.call.usage.completion_tokens
                )
                for row in rows
            ]
        )
        asked = np.where(decided.answered, audited, 1.0)
        processor = statistics.fmean(ms) * self._usd_per_ms if ms else 0.0
        return float((each @ asked / max(len(rows), 1) + processor) * 1_000)


def _embedding_ms(embedder: Embedder, text: str) -> float:
    started = time.process_time()
    embedder.embed([text])
    return (time.process_time() - started) * 1e3
