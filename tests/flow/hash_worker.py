"""A worker process whose encoder needs no weights; takes the arguments that the gateway gives a worker."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

from offramp.app import build
from offramp.app.specialists import LiveSpecialists
from offramp.config import Settings
from offramp.engine.worker import Worker
from offramp.testing.embedder import HashEmbedder
from offramp.upstream.serving import run


def _end_with_gateway() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--base")
    parser.add_argument("--socket", type=Path)
    parser.add_argument("specialists", nargs="+")
    options = parser.parse_args()
    app = build(Settings(home=options.home))
    app.embedder = HashEmbedder()
    threading.Thread(target=_end_with_gateway, daemon=True).start()
    live = LiveSpecialists(app, options.specialists)
    run(Worker(live.propose).serve(options.socket, ready=lambda: print("ready", flush=True)))  # noqa: T201


if __name__ == "__main__":
    main()
