"""Statistics that are looked at after every audited call: drift, false alarms, promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bench.certify.gates import DELTA

from offramp.certify.evidence import RATES, log_evidence
from offramp.certify.online import audit_log_wealth, audit_step, delay_bounds, start_weight

if TYPE_CHECKING:
    from bench.certify.table import Table
    from numpy.typing import NDArray

    from offramp.certify.units import Bools, Floats

ALPHA = 0.05
BAR = -np.log(DELTA)


def run(table: Table, repeats: int, *, quick: bool) -> None:
    """Print what happens while a specialist serves."""
    drift(table, repeats, quick=quick)
    nulls(table, repeats, 500 if quick else 2000)
    promotions(table, repeats)


def drift(table: Table, repeats: int, *, quick: bool) -> None:
    """Plant a drift: how many audited calls until the rollback, beside theory."""
    table.title(f"audit, alpha {ALPHA}: a planted drift", "found", "false", "mean", "q95", "mean in theory")
    for before in (0, 200) if quick else (0, 200, 2000):
        for after in (0.1, 0.2, 0.4):
            rng = np.random.default_rng([before, int(100 * after)])
            least, most = delay_bounds(ALPHA, DELTA, after, before)
            risks = np.concatenate([np.full(before, ALPHA / 2.0), np.full(int(4.0 * most), after)])
            stops = audit_stops(risks, repeats, rng)
            false = (stops > 0) & (stops <= before)
            delays = stops[stops > before] - before
            table.line(
                f"risk from {ALPHA / 2.0} to {after} after {before} audited calls",
                f"{len(delays) / np.count_nonzero(~false):.3f}",
                f"{np.mean(false):.3f}",
                f"{delays.mean():.0f}",
                f"{np.quantile(delays, 0.95):.0f}",
                f"{least:.0f} to {most:.0f}",
            )


def nulls(table: Table, repeats: int, calls: int) -> None:
    """False alarms, false promotions and misses, looked at after every call."""
    rng = np.random.default_rng(11)
    table.title(
        f"online, looked at after each of {calls} audited calls", "", "", "", "", "ever wrong", "delta"
    )
    flat, waves = np.full(calls, ALPHA), 0.1 + 0.08 * np.sin(np.arange(calls) / 200.0)
    lines: dict[str, Bools] = {"audit alarm at a risk of exactly alpha": audit_stops(flat, repeats, rng) > 0}
    for name, risks in (("constant 0.05", flat), ("in waves 0.02 to 0.18", waves)):
        promoted, missed = followed(risks, repeats, rng)
        if risks is flat:
            lines["promotion at a risk of exactly alpha"] = promoted
        lines[f"confidence sequence, risk {name}"] = missed
    for name, wrong in lines.items():
        table.line(name, "", "", "", "", table.promise(name, wrong.tolist()), DELTA)


def promotions(table: Table, repeats: int) -> None:
    """Count the audited calls that a promotion takes."""
    table.title(f"promotion, alpha {ALPHA}: audited calls", "median", "q95")
    for risk in (0.0, 0.0125, 0.025):
        rng, call = np.random.default_rng(12), 0
        errors, stops = np.zeros(repeats), np.zeros(repeats)
        while not stops.all() and call < 4000:
            call += 1
            errors += rng.random(repeats) < risk
            reached = log_evidence(call, errors, ALPHA, above=False) >= BAR
            stops = np.where((stops == 0) & reached, call, stops)
        table.line(f"at a true risk of {risk}", f"{np.median(stops):.0f}", f"{np.quantile(stops, 0.95):.0f}")


def audit_stops(risks: Floats, repeats: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the audited calls until the alarm, in each repeat; 0 where there is none."""
    logs, idle = np.full((repeats, len(RATES)), -np.inf), 1.0
    stops, running = np.zeros(repeats, dtype=np.int64), np.arange(repeats)
    for call, risk in enumerate(risks.tolist(), start=1):
        logs = audit_step(logs, rng.random(len(running)) < risk, ALPHA, call)
        idle = max(idle - start_weight(call), 0.0)
        alarm = audit_log_wealth(logs, idle) >= BAR
        stops[running[alarm]] = call
        running, logs = running[~alarm], logs[~alarm]
        if not len(running):
            break
    return stops


def followed(risks: Floats, repeats: int, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Say in which repeats a promotion happened, and in which the interval ever missed the mean risk."""
    errors = np.zeros(repeats)
    promoted, missed = np.zeros(repeats, dtype=np.bool_), np.zeros(repeats, dtype=np.bool_)
    means = np.cumsum(risks) / np.arange(1, len(risks) + 1)
    for call, (risk, mean) in enumerate(zip(risks.tolist(), means.tolist(), strict=True), start=1):
        errors += rng.random(repeats) < risk
        promoted |= log_evidence(call, errors, ALPHA, above=False) >= BAR
        for above in (True, False):
            missed |= log_evidence(call, errors, mean, above=above) > BAR + np.log(2.0)
    return promoted, missed
