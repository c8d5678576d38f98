"""The recorder process of the tests, wired as the app wires it: STORE KEY [MAX_BYTES] --ring RING."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.record.parse import Parser
from offramp.record.process import Recorder, serve
from offramp.record.writer import Writer
from offramp.redact import Redactor
from offramp.storage.crypto import derive_key, load_key
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from offramp.core.call import Call
    from offramp.record.exchange import Exchange


class Deadly(Parser):
    """Ends the process where it meets a certain word, as a parser's bug would."""

    def parse(self, exchange: Exchange) -> Call:
        if b"deadly" in exchange.request:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().parse(exchange)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("max_bytes", type=int, nargs="?")
    parser.add_argument("--ring", type=Path)
    options = parser.parse_args()

    def open_recorder() -> Recorder:
        key = load_key(options.key)
        store = SqliteStore(options.store, key, max_bytes=options.max_bytes)
        writer = Writer(
            store, Deadly(Redactor(derive_key(key, "redact")).redact, derive_key(key, "pseudonym"))
        )
        return Recorder(writer, [options.ring.parent], derive_key(key, "ring"), own=options.ring)

    return serve(socket.socket(fileno=0), open_recorder)


if __name__ == "__main__":
    sys.exit(main())
