"""One class per gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bench.gateway.environments import Environment

MODEL = "gpt-4o-mini"
_HERE = Path(__file__).parent

NGINX = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m; keepalive_requests 1000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream teacher {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://teacher; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""

LITELLM = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-bench
litellm_settings:
  num_retries: 0
  telemetry: false
general_settings:
  dangerously_permit_weak_or_unset_master_key: true
router_settings:
  num_retries: 0
  disable_cooldowns: true
"""

TENSORZERO = """\
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true

[object_storage]
type = "disabled"

[models."{model}"]
routing = ["bench"]

[models."{model}".providers.bench]
type = "openai"
model_name = "{model}"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a gateway is to run.

    Attributes:
        upstream: Port of the upstream.
        port: Free port for the gateway.
        folder: Empty folder of its own.
        cache: Folder of the environments.
    """

    upstream: int
    port: int
    folder: Path
    cache: Path


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

    def prepare(self, cache: Path, *, install: bool) -> str:
        """Make it runnable; say why it is not, "" where it is."""
        del cache, install
        return ""

    def version(self, cache: Path) -> str:
        """Return its version."""
        del cache
        return ""

    def launch(self, site: Site) -> Launch | None:
        """Write its configuration and say how to start it; None: nothing to start."""
        del site
        return None


class Nginx(Peer):
    """nginx as a plain reverse proxy with a keep-alive pool: the floor."""

    name = "nginx"

    def prepare(self, cache: Path, *, install: bool) -> str:
        return "" if shutil.which("nginx") else "not installed: apt-get install nginx-light"

    def version(self, cache: Path) -> str:
        said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr
        return said.strip().rpartition("/")[2]

    def launch(self, site: Site) -> Launch:
        config = site.folder / "nginx.conf"
        config.write_text(NGINX.format(folder=site.folder, upstream=site.upstream, port=site.port))
        return Launch(["nginx", "-p", str(site.folder), "-c", str(config)])


class Offramp(Peer):
    """offramp by its real command; nothing is known of how it works inside."""

    name = "offramp, recording off"
    options: ClassVar[tuple[str, ...]] = ("--no-record",)

    def __init__(self, command: Path) -> None:
        self.command = command

    def prepare(self, cache: Path, *, install: bool) -> str:
        return "" if self.command.exists() else f"not installed: no {self.command}"

    def version(self, cache: Path) -> str:
        said = subprocess.run([str(self.command), "--version"], capture_output=True, text=True, check=False)
        return said.stdout.split()[-1] if said.stdout else "?"

    def launch(self, site: Site) -> Launch:
        home = ["--home", str(site.folder / "home")]
        upstream = ["--upstream", f"http://127.0.0.1:{site.upstream}/v1"]
        serve = ["serve", *upstream, "--host", "127.0.0.1", "--port", str(site.port), "--json", *self.options]
        return Launch([str(self.command), *home, *serve], announces=True)


class OfframpRecording(Offramp):
    """The same with every call recorded, masked and encrypted."""

    name = "offramp, recording on"
    options = ()


class _Packaged(Peer):
    """A gateway in an environment of its own."""

    package: ClassVar[str]

    def prepare(self, cache: Path, *, install: bool) -> str:
        return self.environment(cache).prepare(install=install)

    def version(self, cache: Path) -> str:
        return self.environment(cache).version(self.package)

    def environment(self, cache: Path) -> Environment:
        """Return its environment."""
        return Environment(self.package, cache)


class LiteLLM(_Packaged):
    """LiteLLM's proxy: one worker, no database, no keys."""

    name = "LiteLLM proxy"
    package = "litellm"
    # It serves about 100 requests a second on one core, and stalls once in its first seconds.
    rate = 20.0
    warm_s = 6.0

    def launch(self, site: Site) -> Launch:
        config = site.folder / "litellm.yaml"
        config.write_text(LITELLM.format(model=MODEL, upstream=site.upstream))
        argv = [self.environment(site.cache).binary("litellm"), "--config", str(config)]
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
        config = site.folder / "tensorzero.toml"
        config.write_text(TENSORZERO.format(model=MODEL, upstream=site.upstream))
        argv = [self.environment(site.cache).binary("python"), str(_HERE / "tensorzero_http.py"), str(config)]
        return Launch(argv, {"RUST_LOG": "error"}, announces=True)


class VllmRouter(_Packaged):
    """The vLLM project's Rust router before one worker."""

    name = "vllm-router"
    package = "vllm-router"
    module: ClassVar[str] = "vllm_router.launch_router"

    def launch(self, site: Site) -> Launch:
        argv = [self.environment(site.cache).binary("python"), "-m", self.module]
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


def catalog(offramp: Path) -> tuple[Peer, ...]:
    """Return all gateways, the direct way first.

    Args:
        offramp: offramp's command.
    """
    ours = (Offramp(offramp), OfframpRecording(offramp))
    return (Peer(), Nginx(), *ours, LiteLLM(), TensorZero(), VllmRouter(), SglangRouter())


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
