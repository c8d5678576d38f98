"""Serve TensorZero's gateway over HTTP; runs in TensorZero's own environment.

The package starts its Rust HTTP server for ``patch_openai_client``; this asks for the same server and keeps
it. The function is private to the package, hence the pinned version.
"""

from __future__ import annotations

import json
import signal
import sys

from tensorzero import _start_http_gateway  # type: ignore[import-not-found]  # of another environment


def main() -> None:
    """Start the gateway of a configuration file, print its URL, wait to be ended."""
    gateway = _start_http_gateway(
        config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
    )
    print(json.dumps({"url": gateway.base_url}), flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # Its runtime does not end by itself while connections are open.
    signal.raise_signal(signal.SIGKILL)


if __name__ == "__main__":
    main()
