"""A process that looks like ``vllm serve``: real HTTP, its flags, its orders, and no model.

``python -m offramp.testing.vllm_server MODEL --port N ... --fake-folder DIR``. Files in DIR say how the
engine NAME misbehaves: while ``NAME.wait`` exists it is not ready; with ``NAME.broken`` it ends at once;
while ``NAME.hang`` exists it answers nothing. It appends what it does to ``journal``.

Tokens take time as on a device: ``--fake-prefill-s`` for each of the prompt, ``--fake-step-s`` for a step of
all sequences together.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

JSON = "application/json"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read vLLM's flags; an unknown one ends the process, as it does there."""
    parser = argparse.ArgumentParser(prog="vllm serve", allow_abbrev=False)
    parser.add_argument("model")
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    for flag in ("--port", "--kv-cache-memory-bytes", "--max-num-seqs", "--max-model-len"):
        parser.add_argument(flag, type=int, required=True)
    for flag in ("--max-loras", "--max-lora-rank", "--max-cpu-loras", "--tensor-parallel-size"):
        parser.add_argument(flag, type=int, default=1)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--enable-sleep-mode", action="store_true")
    parser.add_argument("--lora-modules", nargs="*", type=json.loads, default=[])
    parser.add_argument("--fake-folder", type=Path, required=True)
    parser.add_argument("--fake-prefill-s", type=float, default=0.0)
    parser.add_argument("--fake-step-s", type=float, default=0.0)
    return parser.parse_args(arguments)


class Engine:
    """What the process holds.

    Args:
        flags: The command line.
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.name: str = flags.served_model_name
        self.adapters = {one["name"]: one["path"] for one in flags.lora_modules}
        self.sleeping = False
        self.running = 0
        self._lock = threading.Lock()
        self._prefill = threading.Lock()

    def file(self, kind: str) -> Path:
        """Return the file that says one thing about this engine."""
        folder: Path = self.flags.fake_folder
        return folder / f"{self.name}.{kind}"

    def note(self, what: str) -> None:
        """Append a line to the journal."""
        with (self.flags.fake_folder / "journal").open("a") as journal:
            journal.write(f"{what} {self.name} {os.getpid()}\n")

    def hang(self) -> None:
        """Answer nothing while the file is there."""
        while self.file("hang").exists():
            time.sleep(0.02)

    def enter(self, prompt: int) -> None:
        """Count a request in and read its prompt, one at a time."""
        with self._lock:
            self.running += 1
        with self._prefill:
            time.sleep(prompt * self.flags.fake_prefill_s)

    def leave(self) -> None:
        """Count a request out."""
        with self._lock:
            self.running -= 1


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    # A token is sent when it is there, as real engines do.
    disable_nagle_algorithm = True
    engine: Engine

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Keep quiet."""

    def do_GET(self) -> None:
        """Answer a question."""
        self.engine.hang()
        path = urlsplit(self.path).path
        if path == "/health":
            self._send(200, b"")
        elif path == "/v1/models":
            names = [self.engine.name, *self.engine.adapters]
            self._json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
        elif path == "/metrics":
            running = self.engine.running
            lines = [
                f'vllm:num_requests_running{{engine="0",model_name="m"}} {float(running)}',
                'vllm:num_requests_waiting{engine="0",model_name="m"} 0.0',
            ]
            self._send(200, "\n".join([*lines, ""]).encode(), "text/plain")
        elif path == "/is_sleeping":
            self._json(200, {"is_sleeping": self.engine.sleeping})
        else:
            self._json(404, {"error": {"message": "Not Found"}})

    def do_POST(self) -> None:
        """Take an order or a call."""
        self.engine.hang()
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = urlsplit(self.path).path
        if path == "/v1/load_lora_adapter":
            self._load(body)
        elif path == "/v1/unload_lora_adapter":
            self.engine.adapters.pop(body["lora_name"], None)
            self.engine.note(f"unload:{body['lora_name']}")
            self._send(200, b"Success")
        elif path in ("/sleep", "/wake_up"):
            self.engine.sleeping = path == "/sleep"
            self._send(200, b"")
        elif path == "/v1/completions":
            self._complete(body)
        else:
            self._json(404, {"error": {"message": "Not Found"}})

    def _load(self, body: dict[str, Any]) -> None:
        if not self.engine.flags.enable_lora or body["lora_path"].endswith("missing"):
            self._json(400, {"error": {"message": f"No adapter found for {body['lora_path']}"}})
            return
        self.engine.adapters[body["lora_name"]] = body["lora_path"]
        self.engine.note(f"load:{body['lora_name']}")
        self._send(200, b"Success")

    def _complete(self, body: dict[str, Any]) -> None:
        """Stream a completion of ``max_tokens`` tokens."""
        prompt = len(body["prompt"])
        self.engine.enter(prompt)
        try:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for _ in range(body["max_tokens"]):
                self._event({"choices": [{"index": 0, "text": "a"}]})
                time.sleep(self.engine.flags.fake_step_s)
            usage = {"prompt_tokens": prompt, "completion_tokens": body["max_tokens"]}
            self._event({"choices": [], "usage": usage})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        except OSError:
            self.close_connection = True
        finally:
            self.engine.leave()

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode())

    def _send(self, status: int, body: bytes, kind: str = JSON) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)


def main(arguments: list[str]) -> int:
    """Serve until asked to end."""
    engine = Engine(parse(arguments))
    engine.note("begin")
    if engine.file("broken").exists():
        return 3
    # As vLLM's engine core: a process in the parent's session that must not be left behind, and whose
    # environment says nothing, since it wrote its title over it.
    core = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], env={})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while engine.file("wait").exists():
            time.sleep(0.02)
        server = ThreadingHTTPServer(
            (engine.flags.host, engine.flags.port), type("Bound", (Handler,), {"engine": engine})
        )
        engine.note("ready")
        server.serve_forever()
    finally:
        engine.note("end")
        core.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
