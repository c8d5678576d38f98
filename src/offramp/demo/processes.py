"""Child processes of the demo: the same commands a user types, stopped for certain at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from offramp.core.errors import OfframpError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STOP_S = 20.0


@contextmanager
def command(arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run ``offramp ARGUMENTS --json`` and yield the first line it prints, decoded.

    Raises:
        OfframpError: It ended before it was ready; the message is what it said.
    """
    with tempfile.TemporaryFile("w+") as said:
        # Its own session: Ctrl-C reaches the demo alone, which then stops its children in order.
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "offramp", *arguments, "--json"],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait()
                said.seek(0)
                raise OfframpError(said.read().strip() or f"offramp {arguments[0]} ended at once.")
            yield json.loads(line)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def fetch(url: str) -> dict[str, Any]:
    """GET a JSON document from a local server."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - our own http address
        value: dict[str, Any] = json.load(response)
        return value
