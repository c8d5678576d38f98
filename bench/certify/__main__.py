"""``python bench/certify`` or ``python -m bench.certify``: run the simulations and print their tables.

Every line repeats one setting with fresh data and counts how often a promise was broken: a threshold was
certified whose *true* risk exceeds alpha. Shares have their exact 95 % interval; delta is 5 % throughout.
Gates, on the same calls:

- offramp: one call a session where sessions have one, otherwise bets on whole sessions;
- one call a session: the exact test on a drawn call of each, whatever the sessions are like;
- calls as independent: the exact test on every call;
- tuned, then checked: the loosest threshold whose validation risk is at most alpha, kept where the
  calibration risk is at most alpha too: two point estimates;
- tuned: the same without the check.

Under a judge that errs: its misses bounded on labelled pairs (offramp), its misses as estimated there, and
the judge taken at its word.

The exit code is 1 where any promise of ours is broken significantly more often than delta.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a folder: its modules are imported by their full names, and never shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from bench.certify import groups, judges, offline, online
from bench.certify.gates import DELTA
from bench.certify.table import SURE, Table

SECTIONS = {"offline": offline, "groups": groups, "judges": judges, "online": online}


def main() -> int:
    """Print the tables; 1 where a promise is broken too often."""
    parser = argparse.ArgumentParser(
        prog="bench/certify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1000, help="repeats of each setting (default 1000)")
    parser.add_argument("--quick", action="store_true", help="fewer settings, 100 repeats: under a minute")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="which parts")
    parser.add_argument("--only", default="", help="settings whose name holds this text")
    asked = parser.parse_args()
    repeats = min(asked.repeats, 100) if asked.quick else asked.repeats
    table, started = Table(only=asked.only), time.process_time()
    for name in asked.sections:
        SECTIONS[name].run(table, repeats, quick=asked.quick)
    print(f"\n{repeats} repeats a setting, {time.process_time() - started:.0f} CPU seconds; delta {DELTA}.")
    if table.broken:
        print(f"Broken more often than delta (chance below {SURE}): {'; '.join(table.broken)}.")
        return 1
    print(f"None of {table.checked} promises is broken significantly more often than delta.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
