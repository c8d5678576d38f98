from __future__ import annotations

import subprocess
import sys

import pytest

_SAYS = """
import resource
from offramp.app.security import leave_no_core
leave_no_core()
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_process_that_holds_calls_leaves_no_core_file() -> None:
    said = subprocess.run([sys.executable, "-c", _SAYS], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "(0, 0)"
