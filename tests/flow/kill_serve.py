"""Kills a real gateway and its recorder while clients talk to it, and counts calls in the store.

Run as a script, it prints one JSON object: ``python tests/flow/kill_serve.py --kills 12 --seed 1``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.record.folder import ring_folders
from offramp.record.stats import TapStats, losses, read_stats
from offramp.storage.crypto import load_key
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = 4
SPAN_S = 0.6
PAUSE_S = 0.02
PATIENCE_S = 30.0
ANSWER = json.dumps({"choices": [{"message": {"role": "assistant", "content": "so be it"}}]}).encode()
PIECE = json.dumps({"choices": [{"index": 0, "delta": {"content": "so"}}]}).encode()


async def teach(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a teacher, plainly or in pieces."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(_length(head))
            if json.loads(body)["stream"]:
                pieces = [b"data: " + PIECE + b"\n\n"] * 3 + [b"data: [DONE]\n\n"]
                chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
                head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
                writer.write(head + b"\r\n\r\n" + chunks + b"0\r\n\r\n")
            else:
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d"
                writer.write(head % len(ANSWER) + b"\r\n\r\n" + ANSWER)
            await writer.drain()
    writer.close()


def _length(head: bytes) -> int:
    return int(head.split(b"content-length:")[1].split(b"\r\n")[0])


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, size: int) -> None:
    """Make one call and return when the last byte of its answer is there."""
    text = "a word " * (size // 7)
    messages = [{"role": "user", "content": text}]
    body = json.dumps(
        {"model": "m", "seed": number, "stream": number % 2 == 0, "messages": messages}
    ).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not answer.startswith(b"http/1.1 200"):
        raise ConnectionError(answer)
    if b"content-length" in answer:
        await reader.readexactly(_length(answer))
        return
    while chunk := int(await reader.readline(), 16):
        await reader.readexactly(chunk + 2)
    await reader.readline()


@dataclass
class Count:
    """What went in and what came out."""

    kills: int = 0
    gateways: int = 0
    acknowledged: int = 0
    stored: int = 0
    duplicated: int = 0
    lost: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0
    left: list[str] = field(default_factory=list)


class Rig:
    """A gateway that is killed and started again, and clients that go on.

    Args:
        home: The home folder.
        kills: How often.
        seed: Of every random draw.
    """

    def __init__(self, home: Path, kills: int, seed: int) -> None:
        self._home = home
        self._kills = kills
        self._rng = random.Random(seed)
        self._count = Count()
        self._answered: set[int] = set()
        self._next = 0
        self._upstream = ""
        self._address: tuple[str, int] | None = None
        self._gateway: asyncio.subprocess.Process | None = None

    async def run(self) -> Count:
        """Kill, then end in peace, and count."""
        teacher = await asyncio.start_server(teach, "127.0.0.1", 0)
        self._upstream = f"http://127.0.0.1:{teacher.sockets[0].getsockname()[1]}/v1"
        clients = [asyncio.create_task(self._talk()) for _ in range(CLIENTS)]
        try:
            while self._count.kills < self._kills:
                await self._serve()
                await asyncio.sleep(self._rng.random() * SPAN_S)
                await self._strike()
            await self._serve()
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        try:
            await self._until(lambda: not self._stats().waiting)
        finally:
            await self._end()
            teacher.close()
        return self._counted()

    async def _serve(self) -> None:
        if self._gateway is not None:
            return
        command = [
            sys.executable,
            "-m",
            "offramp",
            "--home",
            str(self._home),
            "serve",
            "--port",
            "0",
            "--json",
        ]
        self._gateway = await asyncio.create_subprocess_exec(
            *command,
            "--upstream",
            self._upstream,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._count.gateways += 1
        assert self._gateway.stdout is not None
        line = await asyncio.wait_for(self._gateway.stdout.readline(), PATIENCE_S)
        host, port = json.loads(line)["url"].removeprefix("http://").split(":")
        self._address = (host, int(port))
        before = len(self._answered)
        await self._until(lambda: len(self._answered) > before)

    async def _strike(self) -> None:
        """Kill the gateway, the recorder, or both."""
        victims = self._rng.choice(("gateway", "recorder", "both"))
        if victims != "gateway":
            for process in list(recorders(self._home)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                self._count.kills += 1
        if victims != "recorder" and self._gateway is not None:
            self._gateway.kill()
            self._count.kills += 1
            await self._gateway.wait()
            self._gateway = self._address = None

    async def _talk(self) -> None:
        """Call, and call again, through whatever gateway there is."""
        while True:
            try:
                while self._address is None:  # noqa: ASYNC110 - a process comes up
                    await asyncio.sleep(0.01)
                reader, writer = await asyncio.open_connection(*self._address)
                with contextlib.closing(writer):
                    while True:
                        self._next = number = self._next + 1
                        await ask(reader, writer, number, self._rng.choice((100, 2000, 2000, 30_000)))
                        self._answered.add(number)
                        await asyncio.sleep(self._rng.random() * PAUSE_S)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                await asyncio.sleep(0.01)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.02)

    def _stats(self) -> TapStats:
        return read_stats(ring_folders(self._home))

    async def _end(self) -> None:
        if self._gateway is not None:
            self._gateway.terminate()
            await asyncio.wait_for(self._gateway.wait(), PATIENCE_S)

    def _counted(self) -> Count:
        count = self._count
        store = SqliteStore(self._home / "offramp.db", load_key(self._home / "master.key"))
        stored = Counter(call.request["seed"] for call in store.calls() if "seed" in call.request)
        lost = losses(store)
        store.close()
        folders = ring_folders(self._home)
        count.acknowledged = len(self._answered)
        count.stored = sum(stored.values())
        count.duplicated = count.stored - len(stored)
        count.lost = len(self._answered - stored.keys())
        count.dropped, count.failed = lost.dropped, lost.failed
        count.waiting = read_stats(folders).waiting
        count.left = [str(path) for folder in folders for path in folder.glob("*") if not path.suffix]
        return count


def recorders(home: Path) -> Iterator[int]:
    """Find the recorder processes of a home."""
    wanted = {b"recorder", os.fsencode(home)}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted <= set((path / "cmdline").read_bytes().split(b"\0")):
                yield int(path.name)


def main() -> None:
    """Run the rig and print what it counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="offramp-kill-") as folder:
        count = asyncio.run(Rig(Path(folder).resolve() / "home", options.kills, options.seed).run())
    sys.stdout.write(json.dumps(vars(count)) + "\n")


if __name__ == "__main__":
    main()
