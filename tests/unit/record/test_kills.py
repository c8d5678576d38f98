"""Processes are killed at random microseconds, and every call is counted in and out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import offramp

RIG = Path(__file__).with_name("kill_rig.py")
KILLS = 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_no_kill_loses_doubles_or_invents_a_call() -> None:
    source = str(Path(offramp.__file__).parents[1])
    arguments = ["/usr/bin/env", f"PYTHONPATH={source}", sys.executable, str(RIG), "--kills", str(KILLS)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    count = json.loads(done.stdout)
    assert count["kills"] >= KILLS
    assert count["acknowledged"] > KILLS
    assert count["stored"] >= count["acknowledged"]
    wrong = {name: count[name] for name in ("lost", "duplicated", "invented", "failed", "crashed")}
    assert wrong == dict.fromkeys(wrong, 0), done.stderr
    assert count["left"] == []
