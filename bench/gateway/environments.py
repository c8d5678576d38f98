"""Environments of the peers that are Python packages: one each, outside the repository, from pinned requirements."""

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
    """

    name: str
    cache: Path

    @property
    def folder(self) -> Path:
        """The environment."""
        return self.cache / self.name

    def binary(self, name: str) -> str:
        """Return the path of a program in it."""
        return str(self.folder / "bin" / name)

    def prepare(self, *, install: bool) -> str:
        """Create it where it is not there.

        Args:
            install: Whether packages may be installed.

        Returns:
            "" where it is ready, else why it is not.
        """
        wanted = hashlib.sha256(self._requirements.read_bytes()).hexdigest()
        stamp = self.folder / _STAMP
        if stamp.exists() and stamp.read_text() == wanted:
            return ""
        if not install:
            return f"not installed: run without --no-install, or fill {self.folder}"
        print(f"installing {self.name} into {self.folder} (minutes, once) ...", file=sys.stderr, flush=True)
        fault = self._run([sys.executable, "-m", "venv", str(self.folder)]) or self._run(
            [
                self.binary("python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--requirement",
                str(self._requirements),
            ]
        )
        if not fault:
            stamp.write_text(wanted)
        return fault

    def version(self, package: str) -> str:
        """Return the version of a package in it, "?" where it is not there."""
        stem = package.replace("-", "_")
        for found in self.folder.glob(f"lib/python*/site-packages/{stem}-*.dist-info"):
            return found.name.removesuffix(".dist-info").rpartition("-")[2]
        return "?"

    @property
    def _requirements(self) -> Path:
        return _REQUIREMENTS / f"requirements-{self.name}.txt"

    @staticmethod
    def _run(argv: list[str]) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"installation failed: {error}"
        return "" if done.returncode == 0 else f"installation failed: {done.stderr.strip()[-300:]}"
