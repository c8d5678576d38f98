"""The recorder process of the tests, wired as the app wires it: STORE KEY [MAX_BYTES]."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from offramp.record.parse import Parser
from offramp.record.process import Writer, serve
from offramp.redact import Redactor
from offramp.storage.crypto import derive_key, load_key
from offramp.storage.sqlite import SqliteStore


def open_writer() -> Writer:
    key = load_key(Path(sys.argv[2]))
    store = SqliteStore(Path(sys.argv[1]), key, max_bytes=int(sys.argv[3]) if len(sys.argv) > 3 else None)
    redactor = Redactor(derive_key(key, "redact"))
    return Writer(store, Parser(redactor.redact, derive_key(key, "pseudonym")))


if __name__ == "__main__":
    sys.exit(serve(socket.socket(fileno=0), open_writer))
