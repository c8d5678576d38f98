"""Do the certificates hold? Simulations in which the true risk is known.

Run ``python bench/certify.py [--repeats N]``. Every line repeats one setting with fresh data and counts how
often a promise was broken (a threshold was certified whose *true* risk exceeds alpha), with the exact 95 %
interval of that share beside delta. Gates, on the same data:

- offramp: one call per session, start and grid from validation, fixed-sequence exact test on calibration;
- rows: the same test, counting every call as if calls were independent;
- naive: the loosest threshold whose observed validation risk is at most alpha, no bound.

Dependence "strong": five calls a session, each of which shares its session's confidence with probability
0.8 and its session's luck with probability 0.8. The risk is the same as without.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.bounds import interval
from offramp.certify.certificate import certify_group, certify_task
from offramp.certify.evidence import RATES, log_evidence
from offramp.certify.online import audit_log_wealth, audit_step, delay_bounds, start_weight
from offramp.certify.terms import Terms
from offramp.certify.threshold import candidates, measure, run_sequence, sequence
from offramp.certify.units import ScoredCalls, Unit, Units, call_units, first_of_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from offramp.certify.units import Bools, Floats

DELTA = 0.05
BAR = -np.log(DELTA)
STRONG = 5
"""Calls of a session where dependence is strong; 1 where there is none."""


@dataclass(frozen=True)
class World:
    """P(loss | confidence c) = floor + rise (1 - c)^2, confidence uniform: the risk is known exactly."""

    floor: float
    rise: float

    def losses(self, confidence: Floats, luck: Floats) -> Bools:
        """Say which calls disagree."""
        return luck < self.floor + self.rise * (1.0 - confidence) ** 2

    def risk(self, threshold: float) -> float:
        """Return the true risk of the calls at or above a threshold."""
        return self.floor + self.rise * (1.0 - threshold) ** 2 / 3.0


@dataclass(frozen=True)
class Sample:
    """Calls as columns, sessions as numbers."""

    confidence: Floats
    loss: Bools
    session: NDArray[np.int64]


@dataclass(frozen=True)
class Result:
    """What one repeat gave: was anything certified, was it wrong, how much was covered."""

    certified: bool
    broken: bool
    coverage: float


def typical(alpha: float) -> World:
    """Risk alpha/3 at the strictest threshold, alpha at half coverage, 3 alpha if everything is answered."""
    return World(alpha / 3.0, 8.0 * alpha)


def draw(world: World, sessions: int, calls: int, rng: np.random.Generator) -> Sample:
    """Draw sessions of ``calls`` calls each."""
    shape, shared = (sessions, calls), 0.8 if calls > 1 else 0.0

    def mixed() -> Floats:
        common = np.repeat(rng.random((sessions, 1)), calls, axis=1)
        return np.where(rng.random(shape) < shared, common, rng.random(shape))

    confidence = mixed()
    loss = world.losses(confidence, mixed())
    return Sample(confidence.ravel(), loss.ravel(), np.repeat(np.arange(sessions), calls))


def offramp_gate(
    validation: Sample, calibration: Sample, alpha: float, rng: np.random.Generator
) -> float | None:
    """One call per session; the validation calls count as many as their sessions."""
    rows = first_of_session(calibration.session, rng.random(len(calibration.session)))
    calls = call_units(validation.confidence, validation.loss)
    chosen = Units(calls.answer_at, calls.error_at, np.full(len(calls.weight), len(rows) / len(calls.weight)))
    drawn = call_units(calibration.confidence[rows], calibration.loss[rows])
    return run_sequence(measure(drawn, sequence(chosen, alpha, len(rows))), alpha, DELTA).threshold


def rows_gate(validation: Sample, calibration: Sample, alpha: float) -> float | None:
    """The same test on every call."""
    thresholds = sequence(call_units(validation.confidence, validation.loss), alpha, len(calibration.loss))
    every = call_units(calibration.confidence, calibration.loss)
    return run_sequence(measure(every, thresholds), alpha, DELTA).threshold


def naive_gate(validation: Sample, alpha: float) -> float | None:
    """No bound at all."""
    units = call_units(validation.confidence, validation.loss)
    curve = measure(units, candidates(units))
    good = np.flatnonzero(curve.errors <= alpha * curve.answered)
    return float(curve.thresholds[good[-1]]) if len(good) else None


def share(wrong: Iterable[bool]) -> str:
    """Print a share with its exact 95 % interval."""
    flags = list(wrong)
    low, high = interval(len(flags), sum(flags), 0.05)
    return f"{sum(flags) / len(flags):.3f} [{low:.3f}, {high:.3f}]"


def say(name: str, *columns: object) -> None:
    """Print one line of the table."""
    widths = (6, 6, 10, 9, 21, 21, 21, 6)
    cells = " ".join(f"{column!s:>{width}}" for column, width in zip(columns, widths, strict=False))
    print(f"{name:<58}{cells}", flush=True)


def tell(name: str, alpha: float, n: int, results: list[Result], *others: str) -> None:
    """Print one line of an offline setting; rows and naive where they were run."""
    certified = f"{np.mean([one.certified for one in results]):.3f}"
    coverage = f"{np.mean([one.coverage for one in results]):.3f}"
    say(name, alpha, n, certified, coverage, share(one.broken for one in results), *others, DELTA)


def offline_line(name: str, world: World, case: tuple[float, int, int], repeats: int) -> None:
    """Run the three gates on one setting."""
    alpha, n, calls = case
    rng = np.random.default_rng([int(1000 * alpha), n, calls, int(1e6 * world.floor), int(1e3 * world.rise)])
    results, rows, naive = [], [], []
    for _ in range(repeats):
        validation, calibration = draw(world, n, calls, rng), draw(world, n, calls, rng)
        ours = offramp_gate(validation, calibration, alpha, rng)
        results.append(
            Result(ours is not None, breaks(world, ours, alpha), 0.0 if ours is None else 1.0 - ours)
        )
        naive.append(breaks(world, naive_gate(validation, alpha), alpha))
        if calls > 1:
            rows.append(breaks(world, rows_gate(validation, calibration, alpha), alpha))
    tell(name, alpha, n, results, share(rows) if rows else "the same", share(naive))


def breaks(world: World, threshold: float | None, alpha: float) -> bool:
    """Say whether a gate let too much through."""
    return threshold is not None and world.risk(threshold) > alpha


def offline(repeats: int) -> None:
    """Known risk, over alphas, sizes and dependence."""
    say("setting", "alpha", "n", "certified", "coverage", "broken: offramp", "rows", "naive", "delta")
    cases = [(alpha, n, calls) for alpha in (0.02, 0.05, 0.1) for n in (200, 1000) for calls in (1, STRONG)]
    for case in cases:
        name = f"risk rises through alpha; dependence {'none' if case[2] == 1 else 'strong'}"
        offline_line(name, typical(case[0]), case, repeats)
    for case in cases:
        name = f"risk just above alpha everywhere; dependence {'none' if case[2] == 1 else 'strong'}"
        offline_line(name, World(case[0] * (1.0 + 1e-9), 0.0), case, repeats)
    offline_line("must be refused: risk 2 alpha everywhere", World(0.1, 0.0), (0.05, 1000, STRONG), repeats)


def scored(parts: list[tuple[str, Sample]], tag: str) -> ScoredCalls:
    """Join samples of tasks into the columns that the public functions take."""
    sessions = [f"{tag}{task}{number}" for task, part in parts for number in part.session.tolist()]
    return ScoredCalls(
        task=[task for task, part in parts for _ in part.loss],
        session=sessions,
        call=[f"{session}/{row}" for row, session in enumerate(sessions)],
        confidence=np.concatenate([part.confidence for _, part in parts]),
        loss=np.concatenate([part.loss for _, part in parts]),
    )


def through_task(repeats: int) -> None:
    """The public function, end to end."""
    alpha, n, rng = 0.1, 200, np.random.default_rng(7)
    world, results = typical(alpha), []
    for _ in range(repeats):
        parts = [scored([("t", draw(world, n, STRONG, rng))], tag) for tag in ("v", "c")]
        one = certify_task(("t", "1"), "s", parts[0], parts[1], Terms(alpha=alpha, delta=DELTA))
        results.append(Result(one.holds, breaks(world, one.threshold, alpha), one.coverage * one.holds))
    tell("certify_task; dependence strong", alpha, n, results, "", "")


def through_group(repeats: int) -> None:
    """Six members of equal traffic, the worst four times as risky as the best."""
    alpha, n, rng = 0.1, 40, np.random.default_rng(8)
    worlds = {f"t{at}": World(alpha / 4.0 * (1 + 0.6 * at), 3.0 * alpha) for at in range(6)}
    results, worse = [], []
    for _ in range(repeats):
        parts = [scored([(task, draw(world, n, 1, rng)) for task, world in worlds.items()], t) for t in "vc"]
        one = certify_group(
            dict.fromkeys(worlds, "1"), "s", parts[0], parts[1], Terms(alpha=alpha, delta=DELTA)
        )
        served = [worlds[member.task] for member in one.members if not member.deferred]
        risks = [world.risk(one.threshold) for world in served] if one.threshold is not None else [0.0]
        results.append(Result(one.holds, float(np.mean(risks)) > alpha, one.coverage * one.holds))
        worse.append(max(risks) > alpha)
    tell("certify_group: six unequal members, pooled promise", alpha, 6 * n, results, "", "")
    say("  a served member of it is above alpha (no promise)", "", "", "", "", share(worse))


def long_sessions(repeats: int) -> None:
    """Half the sessions have one call with risk alpha/4, half have nine with risk 1.12 alpha.

    Per call that is 1.03 alpha, per session 0.69 alpha.
    """
    alpha, n, rng = 0.1, 400, np.random.default_rng(9)
    for unit, name in ((Unit.CALL, "call"), (Unit.WEIGHTED, "weighted")):
        results, tests = [], []
        for _ in range(repeats):
            parts = [uneven(n, alpha, tag, rng) for tag in ("v", "c")]
            one = certify_task(
                ("t", "1"), "s", parts[0], parts[1], Terms(alpha=alpha, delta=DELTA, unit=unit)
            )
            results.append(Result(one.holds, one.holds, one.coverage * one.holds))
            tests.append(one.risk_upper <= alpha)
        tell(f"long sessions worse: 1.03 alpha per call; unit {name}", alpha, n, results, "", "")
        say("  the same without the veto on the plain share", "", "", "", "", share(tests))


def uneven(n: int, alpha: float, tag: str, rng: np.random.Generator) -> ScoredCalls:
    """Draw sessions of one and of nine calls."""
    size = np.where(rng.random(n) < 0.5, 1, 9)
    session = np.repeat(np.arange(n), size)
    risk = np.where(np.repeat(size, size) == 1, alpha / 4.0, 1.12 * alpha)
    return scored([("t", Sample(rng.random(len(risk)), rng.random(len(risk)) < risk, session))], tag)


def audit_stops(alpha: float, risks: Floats, repeats: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the audited calls until the alarm, in each repeat; 0 where there is none."""
    logs, idle = np.full((repeats, len(RATES)), -np.inf), 1.0
    stops, running = np.zeros(repeats, dtype=np.int64), np.arange(repeats)
    for call, risk in enumerate(risks.tolist(), start=1):
        logs = audit_step(logs, rng.random(len(running)) < risk, alpha, call)
        idle = max(idle - start_weight(call), 0.0)
        alarm = audit_log_wealth(logs, idle) >= BAR
        stops[running[alarm]] = call
        running, logs = running[~alarm], logs[~alarm]
        if not len(running):
            break
    return stops


def drift(repeats: int) -> None:
    """Planted drift: how many audited calls until the rollback, beside theory."""
    alpha = 0.05
    print(f"\n{'audit, alpha 0.05':<58}{'found':>7} {'false':>7} {'mean':>7} {'q95':>7}   mean in theory")
    for before in (0, 200, 2000):
        for after in (0.1, 0.2, 0.4):
            rng = np.random.default_rng([before, int(100 * after)])
            floor, ceiling = delay_bounds(alpha, DELTA, after, before)
            risks = np.concatenate([np.full(before, alpha / 2.0), np.full(int(4.0 * ceiling), after)])
            stops = audit_stops(alpha, risks, repeats, rng)
            false = np.mean((stops > 0) & (stops <= before))
            delays = stops[stops > before] - before
            found = len(delays) / np.count_nonzero((stops == 0) | (stops > before))
            name = f"risk from 0.025 to {after} after {before} audited calls"
            told = f"{found:>7.3f} {false:>7.3f} {delays.mean():>7.0f} {np.quantile(delays, 0.95):>7.0f}"
            print(f"{name:<58}{told}   {floor:.0f} to {ceiling:.0f}", flush=True)


def nulls(repeats: int) -> None:
    """False alarms, false promotions and misses, looked at after every call."""
    alpha, calls, rng = 0.05, 2000, np.random.default_rng(11)
    print(f"\n{f'online, looked at after each of {calls} audited calls':<58}{'ever wrong':>21}  delta")
    flat, waves = np.full(calls, alpha), 0.1 + 0.08 * np.sin(np.arange(calls) / 200.0)
    lines = {"audit alarm at a risk of exactly alpha": audit_stops(alpha, flat, repeats, rng) > 0}
    for name, risks in (("constant 0.05", flat), ("in waves 0.02 to 0.18", waves)):
        promoted, missed = followed(risks, alpha, repeats, rng)
        if risks is flat:
            lines["promotion at a risk of exactly alpha"] = promoted
        lines[f"confidence sequence, risk {name}"] = missed
    for name, wrong in lines.items():
        print(f"{name:<58}{share(wrong.tolist()):>21}  {DELTA}", flush=True)


def followed(risks: Floats, alpha: float, repeats: int, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Say in which repeats a promotion happened, and in which the interval ever missed the mean risk."""
    errors = np.zeros(repeats)
    promoted, missed = np.zeros(repeats, dtype=np.bool_), np.zeros(repeats, dtype=np.bool_)
    means = np.cumsum(risks) / np.arange(1, len(risks) + 1)
    for call, (risk, mean) in enumerate(zip(risks.tolist(), means.tolist(), strict=True), start=1):
        errors += rng.random(repeats) < risk
        promoted |= log_evidence(call, errors, alpha, above=False) >= BAR
        for above in (True, False):
            missed |= log_evidence(call, errors, mean, above=above) > BAR + np.log(2.0)
    return promoted, missed


def promotions(repeats: int) -> None:
    """How many audited calls a promotion takes."""
    print(f"\n{'promotion, alpha 0.05':<58}{'median':>7} {'q95':>7}   (audited calls)")
    for risk in (0.0, 0.0125, 0.025):
        rng, call = np.random.default_rng(12), 0
        errors, stops = np.zeros(repeats), np.zeros(repeats)
        while not stops.all() and call < 4000:
            call += 1
            errors += rng.random(repeats) < risk
            reached = log_evidence(call, errors, 0.05, above=False) >= BAR
            stops = np.where((stops == 0) & reached, call, stops)
        name = f"at a true risk of {risk}"
        print(f"{name:<58}{np.median(stops):>7.0f} {np.quantile(stops, 0.95):>7.0f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Do the certificates hold?")
    parser.add_argument("--repeats", type=int, default=1000, help="repeats of each setting (default 1000)")
    repeats = parser.parse_args().repeats
    started = time.process_time()
    offline(repeats)
    through_task(repeats)
    through_group(repeats)
    long_sessions(repeats)
    drift(repeats)
    nulls(repeats)
    promotions(repeats)
    print(f"\n{repeats} repeats a setting, {time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main()
