"""Engine processes as the kernel knows them: started in a session of their own, found again by a mark.

An engine's first process carries its mark in its environment, and so do the children that inherit it; they
are found whatever became of whoever started them. Some programs write over that part of a process's memory
(vLLM's workers put their title there), so whoever is in the session of a first process, or descends from one
that was found, belongs to the engine too. A process id alone says nothing: it may be another's by now.
"""

from __future__ import annotations

import contextlib
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
class First:
    """The first process of an engine, which leads its session.

    Attributes:
        pid: Its id.
        started: When it started, in ticks since boot; 0 where it is not known.
    """

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class Process:
    """One process of an engine.

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


def marked(home: Path, known: Mapping[str, First] | None = None) -> dict[str, list[Process]]:
    """Find the processes of all engines of a home, the oldest first.

    Args:
        home: The home whose mark they carry.
        known: First processes that were started, by engine: their sessions are the engines' even where they
            have ended.
    """
    entries = [entry for entry in map(_read, _PROC.iterdir()) if entry is not None]
    wanted = f"{_HOME}={home}".encode()
    owners = {one.pid: name for one in entries if (name := _marked_name(one, wanted)) is not None}
    alive = {one.pid: one.started for one in entries}
    sessions = {one.session: owners[one.pid] for one in entries if one.pid == one.session in owners}
    for name, first in (known or {}).items():
        # A session goes on when its leader has ended; one of another leader is another session.
        if first.pid and alive.get(first.pid, first.started) == first.started:
            sessions.setdefault(first.pid, name)
    for one in entries:
        if one.pid not in owners and one.session in sessions:
            owners[one.pid] = sessions[one.session]
    _descend(entries, owners)
    found: dict[str, list[Process]] = {}
    for one in sorted(entries, key=lambda entry: (entry.started, entry.pid)):
        if one.pid in owners:
            process = Process(one.pid, owners[one.pid], one.started, _variables(one.environment))
            found.setdefault(process.engine, []).append(process)
    return found


def first_of(pid: int) -> First:
    """Return a process that was just started with when that was; an unknown time where it is over already."""
    entry = _read(_PROC / str(pid))
    return First(pid, entry.started if entry is not None else 0)


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to processes; those that are gone, or are others by now, are left out."""
    for process in processes:
        entry = _PROC / str(process.pid)
        now = _read(entry)
        if now is not None and now.started == process.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)


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


@dataclass(frozen=True, slots=True)
class _Entry:
    pid: int
    parent: int
    session: int
    started: int
    environment: bytes


def _read(entry: Path) -> _Entry | None:
    """Read one process; None for what is none, has ended, or is another user's."""
    if not entry.name.isdigit():
        return None
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            return None
        environment = (entry / "environ").read_bytes()
    except OSError:
        return None
    return _Entry(int(entry.name), int(fields[1]), int(fields[3]), int(fields[_STARTED]), environment)


def _marked_name(entry: _Entry, wanted: bytes) -> str | None:
    if wanted not in entry.environment or wanted not in entry.environment.split(b"\0"):
        return None
    return _variables(entry.environment).get(_NAME, "")


def _descend(entries: Sequence[_Entry], owners: dict[int, str]) -> None:
    """Add children of what was found, and theirs."""
    parents = {one.pid: one.parent for one in entries}
    for pid in parents:
        line = [pid]
        while line[-1] not in owners and parents.get(line[-1], 0) > 1:
            line.append(parents[line[-1]])
        if line[-1] in owners:
            owners.update(dict.fromkeys(line, owners[line[-1]]))


def _variables(environment: bytes) -> dict[str, str]:
    named = (pair.decode(errors="replace").partition("=") for pair in environment.split(b"\0") if pair)
    return {name: value for name, _, value in named}
