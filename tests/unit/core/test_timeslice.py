from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

_TOLD = """
import os, sys
from offramp.core.timeslice import shorten
def told():
    lines = [line.split(":") for line in open("/proc/self/sched") if ":" in line]
    return {name.strip(): value.strip() for name, value in lines}["se.slice"]
os.nice(3)
took = shorten(inherited=sys.argv[1] == "yes")
print(took, told(), os.getpriority(os.PRIO_PROCESS, 0), flush=True)
if os.fork() == 0:
    print(told(), flush=True)
    os._exit(0)
os.wait()
"""

_known = pytest.mark.skipif(
    not Path("/proc/self/sched").exists()
    or tuple(int(part) for part in platform.release().split(".")[:2]) < (6, 12),
    reason="the slice can be chosen, and seen, from Linux 6.12 on",
)


def _run(inherited: str) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _TOLD, inherited], capture_output=True, text=True, check=True
    )
    return [line.split() for line in done.stdout.splitlines()]


@_known
def test_the_slice_is_shortened_and_the_niceness_stays() -> None:
    assert _run("yes") == [["True", "100000", "3"], ["100000"]]


@_known
def test_a_process_that_is_started_gets_the_usual_slice_where_it_is_not_inherited() -> None:
    (_, own, _), (child,) = _run("no")
    assert own == "100000"
    assert int(child) > 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policies")
def test_a_process_that_chose_another_policy_keeps_it() -> None:
    code = (
        "import os; from offramp.core.timeslice import shorten; "
        "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); "
        "print(shorten(), os.sched_getscheduler(0) == os.SCHED_BATCH)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
