"""Placements and emissions as files."""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, NotFound
from offramp.core.placement import Placement

if TYPE_CHECKING:
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.enforce.port import Emission


def read_placement(path: Path) -> Placement:
    """Read a placement, or a plan that holds one under ``placement``.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no placement.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", hint="Write one with `offramp plan`.") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no JSON file: {error}.") from error
    try:
        return Placement.from_dict(value.get("placement", value))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{path} holds no placement: {type(error).__name__} {error}.",
            hint="examples/enforce/placement.json shows one.",
        ) from error


def write_whole(path: Path, value: JsonObject) -> None:
    """Write a JSON object so that a reader, or a crash at any moment, finds the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def write_emission(emission: Emission, folder: Path) -> list[Path]:
    """Write an emission's files below a folder, and its commands into ``commands.sh``.

    Returns:
        The files written, in order.
    """
    files = {PurePosixPath(file.path): file.text for file in emission.files}
    if emission.before or emission.after:
        lines = ["# Before the engines start:", *(command.shell() for command in emission.before)]
        lines += ["# Once they are gone:", *(f"# {command.shell()}" for command in emission.after)]
        files[PurePosixPath("commands.sh")] = "\n".join([*lines, ""])
    if emission.notes:
        files[PurePosixPath("NOTES.txt")] = "\n".join([*emission.notes, ""])
    written = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
