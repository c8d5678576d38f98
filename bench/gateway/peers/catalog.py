"""One class per gateway."""

from __future__ import annotations

import json
import os
import shutil
import string
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.gateway.environments import Environment

MODEL = "gpt-4o-mini"
_COMMAND_S = 60
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Site:
    """Where a gateway is to run.

    Attributes:
        upstream: Port of the upstream.
        port: Free port for the gateway.
        folder: Empty folder of its own.
    """

    upstream: int
    port: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start it.

    Attributes:
        argv: Command line.
        env: Variables set beside the bench's own.
        announces: Whether it prints ``{"url": ...}``; else it listens on the site's port.
    """

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    announces: bool = False


class Peer:
    """A gateway; the base class is no gateway at all: the upstream asked directly."""

    name: ClassVar[str] = "direct"
    model: ClassVar[str] = MODEL
    path: ClassVar[str] = "/v1/chat/completions"
    rate: ClassVar[float] = 100.0
    """Requests a second of the light load."""

    warm_s: ClassVar[float] = 1.0
    """Seconds of load before anything is measured."""

    status: ClassVar[str | None] = None
    """Path where a gateway that records tells, as JSON, how that goes."""

    background: ClassVar[bool] = False
    """Whether only the first process answers, and the others work behind it."""

    def problem(self) -> str:
        """Say why it cannot run, "" where it can."""
        return ""

    def install(self) -> str:
        """Install it where the bench can; say why it still cannot run."""
        return self.problem()

    def version(self) -> str:
        """Return its version."""
        return ""

    def launch(self, site: Site) -> Launch | None:
        """Write its configuration and say how to start it; None: nothing to start."""
        del site
        return None

    def stored(self, site: Site) -> int | None:
        """Return how many calls it stored, once it has stopped; None where it stores none."""
        del site
        return None


class Nginx(Peer):
    """nginx as a plain reverse proxy with a keep-alive pool: the floor."""

    name = "nginx"

    def problem(self) -> str:
        """See :class:`Peer`."""
        return "" if shutil.which("nginx") else "not installed: apt-get install nginx-light"

    def version(self) -> str:
        """See :class:`Peer`."""
        return _said(["nginx", "-v"]).strip().rpartition("/")[2]

    def launch(self, site: Site) -> Launch:
        """See :class:`Peer`."""
        config = _configure("nginx.conf", site)
        return Launch(["nginx", "-p", str(site.folder), "-c", config])


class Offramp(Peer):
    """offramp by its real command; nothing is known of how it works inside.

    Args:
        command: Path of the command.
    """

    name = "offramp, recording off"
    options: ClassVar[tuple[str, ...]] = ("--no-record",)

    def __init__(self, command: Path) -> None:
        self.command = command

    def problem(self) -> str:
        """See :class:`Peer`."""
        return "" if self.command.exists() else f"not installed: no {self.command}"

    def version(self) -> str:
        """See :class:`Peer`."""
        return (_said([str(self.command), "--version"]).split() or ["?"])[-1]

    def launch(self, site: Site) -> Launch:
        """See :class:`Peer`."""
        upstream = ["--upstream", f"http://127.0.0.1:{site.upstream}/v1"]
        address = ["--host", "127.0.0.1", "--port", str(site.port)]
        serve = [*self._at(site), "serve", *upstream, *address, "--json", *self.options]
        # Anthropic's API has an upstream of its own.
        env = {"OFFRAMP_GATEWAY_ANTHROPIC": f"http://127.0.0.1:{site.upstream}/v1"}
        return Launch(serve, env, announces=True)

    def _at(self, site: Site) -> list[str]:
        return [str(self.command), "--home", str(site.folder / "home")]


class OfframpRecording(Offramp):
    """The same with every call recorded, masked and encrypted."""

    name = "offramp, recording on"
    status = "/offramp/status"
    background = True
    options = ()

    def stored(self, site: Site) -> int | None:
        """See :class:`Peer`."""
        try:
            return int(json.loads(_said([*self._at(site), "status", "--json"]))["calls"])
        except (ValueError, KeyError, TypeError):
            return None


class _Packaged(Peer):
    """A gateway in an environment of its own.

    Args:
        cache: Folder of all environments.
    """

    package: ClassVar[str]

    def __init__(self, cache: Path) -> None:
        self.environment = Environment(self.package, cache)

    def problem(self) -> str:
        """See :class:`Peer`."""
        return self.environment.problem()

    def install(self) -> str:
        """See :class:`Peer`."""
        return self.environment.install()

    def version(self) -> str:
        """See :class:`Peer`."""
        return self.environment.version(self.package)


class LiteLLM(_Packaged):
    """LiteLLM's proxy: one worker, no database, no keys."""

    name = "LiteLLM proxy"
    package = "litellm"
    # It serves about 100 requests a second on one core, and stalls once in its first seconds.
    rate = 20.0
    warm_s = 6.0

    def launch(self, site: Site) -> Launch:
        """See :class:`Peer`."""
        config = _configure("litellm.yaml", site)
        argv = [self.environment.binary("litellm"), "--config", config]
        argv += ["--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1"]
        env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
        return Launch(argv, env)


class TensorZero(_Packaged):
    """TensorZero's Rust gateway, observability off."""

    name = "TensorZero"
    package = "tensorzero"
    model = f"tensorzero::model_name::{MODEL}"
    path = "/openai/v1/chat/completions"

    def launch(self, site: Site) -> Launch:
        """See :class:`Peer`."""
        config = _configure("tensorzero.toml", site)
        argv = [self.environment.binary("python"), str(_HERE / "tensorzero_http.py"), config]
        return Launch(argv, {"RUST_LOG": "error"}, announces=True)


class VllmRouter(_Packaged):
    """The vLLM project's Rust router before one worker."""

    name = "vllm-router"
    package = "vllm-router"
    module: ClassVar[str] = "vllm_router.launch_router"

    def launch(self, site: Site) -> Launch:
        """See :class:`Peer`."""
        argv = [self.environment.binary("python"), "-m", self.module]
        argv += ["--worker-urls", f"http://127.0.0.1:{site.upstream}", "--policy", "round_robin"]
        argv += ["--host", "127.0.0.1", "--port", str(site.port), "--prometheus-port", str(site.port + 1)]
        argv += ["--log-level", "error", "--disable-retries", "--disable-circuit-breaker"]
        return Launch(argv)


class SglangRouter(VllmRouter):
    """The SGLang project's Rust router before one worker."""

    name = "sglang-router"
    package = "sglang-router"
    module = "sglang_router.launch_router"


def default_offramp() -> Path:
    """Return offramp's command beside the running Python."""
    return Path(sys.executable).with_name("offramp")


def catalog(offramp: Path, cache: Path) -> tuple[Peer, ...]:
    """Return all gateways, the direct way first.

    Args:
        offramp: offramp's command.
        cache: Folder of the peers' environments.
    """
    ours = (Offramp(offramp), OfframpRecording(offramp))
    packaged = (LiteLLM(cache), TensorZero(cache), VllmRouter(cache), SglangRouter(cache))
    return (Peer(), Nginx(), *ours, *packaged)


def environment() -> dict[str, str]:
    """Return the environment of every gateway: no proxies between it and the loopback, no settings."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {name: value for name, value in kept.items() if not name.startswith(("OFFRAMP_", "PYTHONPATH"))}


def announced(said: str) -> str | None:
    """Return the URL from the line ``{"url": ...}`` among what a gateway said so far."""
    for line in said.splitlines():
        if '"url"' in line and line.endswith("}"):
            return str(json.loads(line)["url"])
    return None


def _configure(name: str, site: Site) -> str:
    """Fill in a configuration file and return its path."""
    template = string.Template((_HERE / name).read_text())
    config = site.folder / name
    config.write_text(
        template.substitute(model=MODEL, folder=site.folder, port=site.port, upstream=site.upstream)
    )
    return str(config)


def _said(argv: list[str]) -> str:
    """Return what a command prints, "" where it does not run."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=environment(), timeout=_COMMAND_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout or done.stderr
