"""The running parts of the bench: upstream, one gateway, the load generator."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from bench.gateway.counts import Count, dropped_in
from bench.gateway.payloads import templates
from bench.gateway.peers.catalog import Peer, Site, announced, environment
from bench.gateway.processes import Tree, cores, on_core

if TYPE_CHECKING:
    from bench.gateway.load import Plan

ROOT = Path(__file__).resolve().parents[2]
_READY_S = 90.0
_ASK_S = 20.0


class GatewayFailed(Exception):
    """A gateway that does not start or does not answer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A response.

    Attributes:
        status: HTTP status.
        headers: Header fields, names in lower case.
        body: The body's bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def ask(port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Heard:
    """Send one request to the loopback address, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_S)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Heard(response.status, fields, response.read())
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nothing listens on, nor on the next one."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port


class Upstream:
    """The upstream, running inside the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    def __enter__(self) -> Self:
        argv = [sys.executable, "-m", "bench.gateway.teacher"]
        log = self._folder / "teacher.log"
        self.tree = Tree(argv, core=cores()[1], log=log, env=environment(), cwd=ROOT)
        until = time.monotonic() + _READY_S
        while not log.read_text().strip().isdigit():
            if not self.tree.running or time.monotonic() > until:
                raise GatewayFailed(f"the upstream does not start: {self.tree.tail()}")
            time.sleep(0.05)
        self.port = int(log.read_text())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.tree.stop(grace_s=1.0)

    def become(self, mode: str) -> None:
        """Choose how it answers from now on."""
        ask(self.port, "PUT", "/bench/mode", mode.encode())

    def last(self) -> bytes:
        """Return the body of the last call that reached it."""
        return ask(self.port, "GET", "/bench/last").body

    def count(self) -> int:
        """Return how many calls reached it."""
        return int(ask(self.port, "GET", "/bench/count").body)


class Gateway:
    """One gateway, running inside the block; :class:`Peer` itself is the upstream without any.

    Raises:
        GatewayFailed: On entering: it does not answer a call.
    """

    def __init__(self, peer: Peer, upstream: Upstream) -> None:
        self.peer = peer
        self.port = upstream.port
        self.boot_s = 0.0
        self.tree: Tree | None = None
        self._upstream = upstream
        self._before = upstream.count()
        self._site: Site | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        self._site = site = Site(self._upstream.port, free_port(), folder)
        launch = self.peer.launch(site)
        if launch is None:
            return self
        started = time.monotonic()
        env = environment() | launch.env
        try:
            self.tree = Tree(launch.argv, core=cores()[0], log=folder / "log", env=env, cwd=folder)
        except OSError as error:
            self._stack.close()
            raise GatewayFailed(str(error)) from error
        self._stack.callback(self.tree.stop)
        try:
            self.port = self._await_port(self.tree, site.port, announces=launch.announces)
            self._await_answer(self.tree)
        except BaseException:
            self._stack.close()
            raise
        self.boot_s = time.monotonic() - started
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def dropped(self) -> int | None:
        """Return how many calls it says it did not record; None where it says nothing."""
        if self.peer.status is None:
            return None
        heard = ask(self.port, "GET", self.peer.status)
        return dropped_in(json.loads(heard.body)) if heard.status == 200 else None

    def stop_and_count(self) -> Count | None:
        """Stop it and return what became of the calls since it started; None where unknown."""
        if self.tree is None or self._site is None or self.peer.status is None:
            return None
        asked, dropped = self._upstream.count() - self._before, self.dropped()
        self.tree.stop()
        stored = self.peer.stored(self._site)
        return None if stored is None else Count(asked, stored, dropped or 0)

    def _await_port(self, tree: Tree, port: int, *, announces: bool) -> int:
        until = time.monotonic() + _READY_S
        while announces:
            url = announced(tree.log.read_text(errors="replace"))
            if url is not None:
                return urlsplit(url).port or port
            _check(tree, until)
            time.sleep(0.05)
        return port

    def _await_answer(self, tree: Tree) -> None:
        body = templates("2k", self.peer.model, stream=False)[0].body(0)
        headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
        until, last = time.monotonic() + _READY_S, ""
        while True:
            try:
                heard = ask(self.port, "POST", self.peer.path, body, headers)
                if heard.status == 200:
                    return
                last = f"status {heard.status}: {heard.body[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                last = str(error)
            _check(tree, until, last)
            time.sleep(0.05)


def _check(tree: Tree, until: float, last: str = "") -> None:
    if not tree.running:
        raise GatewayFailed(f"it ended at once: {tree.tail()}")
    if time.monotonic() > until:
        raise GatewayFailed(f"no answer within {_READY_S:.0f} s: {last} {tree.tail()}")


def load(plan: Plan, *, realtime: bool = False) -> dict[str, Any]:
    """Run the load generator on its core and return its result.

    Args:
        plan: What to send.
        realtime: Under a real-time priority.
    """
    argv = [sys.executable, "-m", "bench.gateway.load"]
    if realtime:
        argv = ["chrt", "--fifo", "10", *argv]
    with on_core(cores()[1]):
        process = subprocess.run(
            argv,
            input=json.dumps(asdict(plan)),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment(),
            check=False,
        )
    if process.returncode:
        raise GatewayFailed(f"the load generator failed: {process.stderr.strip()[-300:]}")
    result: dict[str, Any] = json.loads(process.stdout)
    return result
