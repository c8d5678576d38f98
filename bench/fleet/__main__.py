"""``python -m bench.fleet``: the simulator beside closed forms, and sharing beside its baselines.

Traces are read from the folder given; without one, only the closed forms, the light mode, the planner's
predictions and the scheduler are run. ``--deployments`` packs fleets by both solvers, which takes minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a folder: its modules are imported by their full names, and never shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from bench.fleet import beside, closed, cost, days, gpus, packing, promises, reserve, shift


def main() -> int:
    """Print the tables; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="bench/fleet", description=__doc__)
    parser.add_argument("--traces", type=Path, help="folder of the Azure 2023 and ServeGen traces (*.csv.gz)")
    parser.add_argument("--specialists", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=300.0, help="of the trace before it is sped up")
    parser.add_argument("--loads", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--requests", type=int, default=closed.REQUESTS, help="of each closed form")
    parser.add_argument(
        "--days", action="store_true", help="run the ServeGen days as well (a quarter of an hour)"
    )
    parser.add_argument("--scale", type=float, default=0.05, help="of the rates of ServeGen's fourteen days")
    parser.add_argument("--part", type=float, default=60.0, help="seconds run of each of their windows")
    parser.add_argument("--calls", type=int, default=5000, help="of each prediction that is simulated")
    parser.add_argument("--deployments", type=int, nargs="*", default=[], help="to pack, as in 20 50 100 200")
    parser.add_argument("--effort", type=float, default=30.0, help="deterministic seconds of CP-SAT")
    given = parser.parse_args()
    met = [
        closed.validation(given.requests),
        closed.light(given.requests),
        promises.report(given.calls),
        reserve.report(given.traces),
        beside.report(),
        shift.report(),
        cost.report(),
    ]
    if given.deployments:
        met.append(packing.report(tuple(given.deployments), effort=given.effort))
    if given.traces is not None:
        met.append(
            gpus.report(
                given.traces,
                specialists=given.specialists,
                seconds=given.seconds,
                loads=tuple(given.loads),
            )
        )
    if given.traces is not None and given.days:
        met.append(days.validation(given.traces / "servegen_deepseek-r1_rates.csv.gz", gpus=(2, 3)))
        fortnight = given.traces / "servegen_m-small_rates.csv.gz"
        met.append(days.report(fortnight, scale=given.scale, part_s=given.part))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
