"""Environments of the peers that are Python packages: pinned, one each, outside the repository."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_REQUIREMENTS = Path(__file__).parent / "peers"
_STAMP = ".requirements.sha256"
_INSTALL_S = 900


def default_cache() -> Path:
    """Return where environments live unless said otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "offramp-bench"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of one peer.

    Attributes:
        name: Name of the peer: ``requirements-<name>.txt`` says what is in it.
        cache: Folder of all environments.
        listed: Folder of that file.
    """

    name: str
    cache: Path
    listed: Path = _REQUIREMENTS

    @property
    def folder(self) -> Path:
        """The environment."""
        return self.cache / self.name

    def binary(self, name: str) -> str:
        """Return the path of a program in it."""
        return str(self.folder / "bin" / name)

    def problem(self) -> str:
        """Say why it is not ready, "" where it is."""
        stamp = self.folder / _STAMP
        if stamp.exists() and stamp.read_text() == self._wanted():
            return ""
        return "not installed: run without --no-install"

    def install(self) -> str:
        """Create and fill it; say what went wrong, "" where nothing did."""
        print(f"installing {self.name} into {self.folder} (minutes, once) ...", file=sys.stderr, flush=True)
        fault = self._run([sys.executable, "-m", "venv", str(self.folder)]) or self._run(
            [
                self.binary("python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--requirement",
                str(self.requirements),
            ]
        )
        if not fault:
            (self.folder / _STAMP).write_text(self._wanted())
        return fault

    def version(self, package: str) -> str:
        """Return the version of a package in it, "?" where it is not there."""
        stem = package.replace("-", "_")
        for found in self.folder.glob(f"lib/python*/site-packages/{stem}-*.dist-info"):
            return found.name.removesuffix(".dist-info").rpartition("-")[2]
        return "?"

    def _wanted(self) -> str:
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()

    @property
    def requirements(self) -> Path:
        """The pinned requirements."""
        return self.listed / f"requirements-{self.name}.txt"

    @staticmethod
    def _run(argv: list[str]) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"installation failed: {error}"
        return "" if done.returncode == 0 else f"installation failed: {done.stderr.strip()[-300:]}"
