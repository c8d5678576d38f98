"""What a supervisor remembers on disk: what is wanted, what it started, and who it is.

Written before it is acted upon or right after, always whole: a supervisor may be killed at any moment, and
the next one goes on from here and from the processes that it finds.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from offramp.core.errors import BadInput, UserError
from offramp.core.json import digest
from offramp.core.placement import Placement
from offramp.enforce.files import write_whole
from offramp.enforce.options import Options
from offramp.enforce.processes import First

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offramp.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run on this host.

    Attributes:
        placement: Devices and engines of this host alone.
        backend: Name of the backend that gives the parts.
        options: How engines are started.
    """

    placement: Placement
    backend: str
    options: Options

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return {
            "placement": self.placement.to_dict(),
            "backend": self.backend,
            "options": asdict(self.options),
        }

    @classmethod
    def from_dict(cls, value: JsonObject) -> Wanted:
        """Read what `to_dict` wrote."""
        known = {field.name for field in fields(Options)}
        options = {name: _tuples(one) for name, one in value["options"].items() if name in known}
        return cls(Placement.from_dict(value["placement"]), value["backend"], Options(**options))

    @property
    def version(self) -> str:
        """A hash of all of it."""
        return digest(self.to_dict())


@dataclass(frozen=True, slots=True)
class Record:
    """One engine that was started.

    Attributes:
        pid: Its first process; 0 where it is not running.
        started: When that started, in ticks since boot.
        port: Where it listens.
        key: Hash of everything that only a restart changes.
        adapters: Directories of the adapters that it was told of, by name.
        state: ``starting``, ``healthy``, ``waiting`` (for the next try), ``failed`` or ``stopped``.
        restarts: Starts after the first.
        reason: Why it is not healthy, or was restarted last.
    """

    pid: int
    port: int
    key: str
    adapters: dict[str, str]
    state: str
    restarts: int = 0
    reason: str = ""
    started: int = 0

    @property
    def first(self) -> First:
        """Its first process."""
        return First(self.pid, self.started)


class State:
    """The files of one supervised home.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._wanted = self.folder / "wanted.json"
        self._running = self.folder / "running.json"

    def wanted(self) -> Wanted | None:
        """Return what is wanted, None before anything was."""
        value = _read(self._wanted)
        return None if value is None else Wanted.from_dict(value)

    def want(self, wanted: Wanted) -> None:
        """Set what is wanted."""
        write_whole(self._wanted, wanted.to_dict())

    def records(self) -> dict[str, Record]:
        """Return the engines that were started, by name."""
        return {name: Record(**one) for name, one in (_read(self._running) or {}).get("engines", {}).items()}

    def prepared(self) -> JsonObject:
        """Return the commands that made the devices ready (``before``) and those that undo it (``after``)."""
        found: JsonObject = (_read(self._running) or {}).get("prepared", {"before": [], "after": []})
        return found

    def reached(self) -> str:
        """Return the version that the engines were last brought to, "" for none."""
        return str((_read(self._running) or {}).get("version", ""))

    def save(self, records: dict[str, Record], *, version: str, prepared: JsonObject) -> None:
        """Write down what runs."""
        engines = {name: asdict(record) for name, record in records.items()}
        write_whole(self._running, {"version": version, "prepared": prepared, "engines": engines})

    def log(self, engine: str) -> Path:
        """Return the file that an engine's output is appended to."""
        return self.folder / "logs" / f"{engine.replace('/', '_')}.log"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the home: one supervisor at a time.

        Raises:
            UserError: Another one holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"Another supervisor keeps the engines of {self.folder}.") from error
            yield

    def is_held(self) -> bool:
        """Whether a supervisor holds the home now."""
        try:
            with self.held():
                return False
        except UserError:
            return True


def with_ports(wanted: Wanted, records: dict[str, Record]) -> Wanted:
    """Keep the ports of engines that run: a new engine takes a port that nobody has."""
    names = {engine.name for engine in wanted.placement.engines}
    kept = {name: record.port for name, record in records.items() if name in names}
    kept |= dict(wanted.options.ports)
    return replace(wanted, options=replace(wanted.options, ports=tuple(sorted(kept.items()))))


def _read(path: Path) -> JsonObject | None:
    try:
        value: JsonObject = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BadInput(f"{path} is no JSON file: {error}.", hint="Remove it, and apply again.") from error
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value
