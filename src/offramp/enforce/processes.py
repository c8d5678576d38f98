"""Engine processes as the kernel knows them: started in a session of their own, found again by a mark.

Every process of an engine carries its mark in its environment, which children inherit. So an engine is found
whatever became of whoever started it, and nothing of it is missed when it ends: workers that outlive their
parent, or that made a session of their own, carry the mark too. A process id alone says nothing, it may be
another's by now.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.config.environment import child_environment
from offramp.core.errors import EngineError, UserError

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Mapping, Sequence

    from offramp.enforce.port import Command

_HOME, _NAME = "OFFRAMP_ENFORCE_HOME", "OFFRAMP_ENFORCE_ENGINE"
_PROC = Path("/proc")
_STARTED = 19
"""Position of the start time among the fields of ``/proc/PID/stat`` after the command's name."""
COMMAND_S = 120.0


@dataclass(frozen=True, slots=True)
class Process:
    """One marked process.

    Attributes:
        pid: Its id.
        engine: Name of the engine that it belongs to.
        started: When it started, in ticks since boot.
        environment: Its variables at the start.
    """

    pid: int
    engine: str
    started: int
    environment: Mapping[str, str]


def require_linux() -> None:
    """Refuse a system whose processes cannot be found by their mark.

    Raises:
        UserError: This is not Linux.
    """
    if sys.platform != "linux":
        raise UserError(
            f"Engines are supervised on Linux; this is {sys.platform}.",
            hint="offramp enforce emit writes the command lines.",
        )


def spawn(home: Path, engine: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Start an engine, marked, in a session of its own, its output appended to a file.

    Returns:
        Its process id. It may outlive this process; while that is its parent, `has_ended` takes it off the
        kernel's list when it is over.

    Raises:
        EngineError: The program cannot be started.
    """
    marked = child_environment({**environment, _HOME: str(home), _NAME: engine})
    log.parent.mkdir(parents=True, exist_ok=True)
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), writing, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    try:
        return os.posix_spawnp(argv[0], list(argv), marked, file_actions=actions, setsid=True)
    except OSError as error:
        raise EngineError(
            f"Engine {engine!r} cannot be started: {error}.", hint="Is the program installed here?"
        ) from error


def has_ended(pid: int) -> bool | None:
    """Whether a child of this process is over; None where it is not a child of this process."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return None


def marked(home: Path) -> dict[str, list[Process]]:
    """Find the processes of all engines of a home, the oldest first."""
    wanted = f"{_HOME}={home}".encode()
    found: dict[str, list[Process]] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        process = _read(entry, wanted)
        if process is not None:
            found.setdefault(process.engine, []).append(process)
    return {name: sorted(some, key=lambda one: (one.started, one.pid)) for name, some in found.items()}


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to processes; those that are gone, or are others by now, are left out."""
    for process in processes:
        entry = _PROC / str(process.pid)
        try:
            if _started(entry) == process.started:
                os.kill(process.pid, number)
        except (OSError, ValueError):
            continue


def port_is_free(port: int) -> bool:
    """Whether nobody listens on a port of this host."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(command: Command) -> None:
    """Run a command to its end.

    Raises:
        EngineError: It cannot be started, fails, or takes too long.
    """
    said = command.shell()
    try:
        done = subprocess.run(  # noqa: S603 - a backend's own command line
            command.argv,
            input=command.stdin.encode(),
            env=child_environment(dict(command.environment)),
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{said} cannot be run: {error}.") from error
    if done.returncode:
        output = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise EngineError(f"{said} ended with {done.returncode}: {output}.")


def output_of(argv: Sequence[str]) -> str:
    """Return what a command prints, "" where it cannot be run."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=COMMAND_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def _read(entry: Path, wanted: bytes) -> Process | None:
    try:
        raw = (entry / "environ").read_bytes()
        if wanted not in raw:
            return None
        pairs = raw.split(b"\0")
        if wanted not in pairs:
            return None
        named = (pair.decode(errors="replace").partition("=") for pair in pairs if pair)
        variables = {name: value for name, _, value in named}
        return Process(int(entry.name), variables.get(_NAME, ""), _started(entry), variables)
    except (OSError, ValueError):
        # It ended meanwhile, or it is another user's.
        return None


def _started(entry: Path) -> int:
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    if fields[0] == "Z":
        raise ValueError(f"{entry.name} has ended")
    return int(fields[_STARTED])
