"""The real gateway and its recorder, killed at random moments while clients talk to them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import offramp

RIG = Path(__file__).with_name("kill_serve.py")
KILLS = 24


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="recorders are found in /proc")
def test_every_answered_call_is_in_the_store_once_whatever_was_killed() -> None:
    source = str(Path(offramp.__file__).parents[1])
    arguments = ["/usr/bin/env", f"PYTHONPATH={source}", sys.executable, str(RIG), "--kills", str(KILLS)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count = json.loads(done.stdout)
    assert count["kills"] >= KILLS
    assert count["acknowledged"] > 10 * KILLS
    wrong = {name: count[name] for name in ("lost", "duplicated", "dropped", "failed", "waiting")}
    assert wrong == dict.fromkeys(wrong, 0)
    assert count["left"] == []
