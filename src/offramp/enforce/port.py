"""The port: what a backend guarantees, and what it makes of a placement.

Every backend can write down how a placement is carried out (`Backend.emit`): files, commands, and the command
line of each engine. The local ones can be carried out from here too (`offramp.enforce.supervisor`).
"""

from __future__ import annotations

import enum
import shlex
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.json import JsonObject
    from offramp.core.placement import PlacedEngine, Placement
    from offramp.enforce.options import Options


class Level(enum.StrEnum):
    """How far a backend keeps engines on one device apart."""

    HARD = "hard"
    """It holds against a neighbour that takes all it can; the planner may count on it."""
    SOFT = "soft"
    """It holds as long as neighbours behave, or on average; the planner adds a price for interference."""
    NONE = "none"
    """Nothing."""

    @property
    def rank(self) -> int:
        """0 for none, 1 for soft, 2 for hard."""
        return ("none", "soft", "hard").index(self.value)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend guarantees between engines on one device.

    Attributes:
        memory: An engine cannot take more device memory than its part.
        compute: It cannot take more of the arithmetic units than its part.
        bandwidth: It cannot take more of the memory bandwidth.
        faults: Its crash leaves the others running.
        live_resize: Its part can be changed while it runs.
    """

    memory: Level
    compute: Level
    bandwidth: Level
    faults: Level
    live_resize: Level

    def at_most(self, measured: Mapping[str, Level]) -> Capabilities:
        """Return these, lowered to what was measured; a measurement never raises one.

        Args:
            measured: Levels by attribute name; what is not named stays.
        """
        lowered = {
            name: min(getattr(self, name), level, key=lambda one: one.rank)
            for name, level in measured.items()
        }
        return replace(self, **lowered)

    def to_dict(self) -> JsonObject:
        """Render as a JSON object of words."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class File:
    """A file to write.

    Attributes:
        path: Its path below the folder that the emission is written to.
        text: What stands in it.
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run once on the host of the devices.

    Attributes:
        argv: Program and arguments.
        environment: Variables on top of the inherited ones.
        stdin: What it reads.
    """

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    stdin: str = ""

    def shell(self) -> str:
        """Render as a line of POSIX shell."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.environment]
        line = " ".join([*words, shlex.join(self.argv)])
        return f"printf %s {shlex.quote(self.stdin)} | {line}" if self.stdin else line


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """How one engine is started.

    Attributes:
        name: The engine's name in the placement.
        argv: Program and arguments.
        environment: Variables on top of the inherited ones.
        port: Where it listens.
        node: The host that it runs on.
    """

    name: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    port: int
    node: str

    def shell(self) -> str:
        """Render as a line of POSIX shell."""
        return Command(self.argv, self.environment).shell()


@dataclass(frozen=True, slots=True)
class Emission:
    """How a placement is carried out by one backend.

    Attributes:
        backend: Name of the backend.
        files: Files to write.
        before: Commands to run before the engines start, in order.
        engines: Command lines of the engines, where the backend leaves their start to the host.
        after: Commands that undo ``before`` once the engines are gone, in order.
        notes: What a reader has to know before relying on it.
    """

    backend: str
    files: tuple[File, ...] = ()
    before: tuple[Command, ...] = ()
    engines: tuple[EngineCommand, ...] = ()
    after: tuple[Command, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return asdict(self)


class Backend(Protocol):
    """Something that gives engines their parts of devices."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    def capabilities(self) -> Capabilities:
        """Say what it guarantees, by its own documentation and known defects."""
        ...

    def emit(self, placement: Placement, options: Options) -> Emission:
        """Write down how a placement is carried out.

        Raises:
            BadInput: The backend cannot express this placement.
        """
        ...


class LocalBackend(Backend, Protocol):
    """A backend whose engines are processes of this host."""

    @property
    def sleeps(self) -> bool:
        """Whether engines on its devices can be put to sleep; vLLM on a CPU refuses to start if asked to."""
        ...

    def before(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the commands that make the devices ready; running them twice does no harm."""
        ...

    def after(self, placement: Placement, options: Options) -> tuple[Command, ...]:
        """Return the commands that undo `before`."""
        ...

    def confine(self, placement: Placement, engine: PlacedEngine, options: Options) -> Confinement:
        """Return what confines one engine's process to its part.

        Raises:
            BadInput: The backend cannot express this engine's part.
        """
        ...


@dataclass(frozen=True, slots=True)
class Confinement:
    """What is put before an engine's command line.

    Attributes:
        environment: Variables.
        prefix: Program that starts the engine within its part (``taskset``), with its arguments.
    """

    environment: tuple[tuple[str, str], ...] = ()
    prefix: tuple[str, ...] = ()
