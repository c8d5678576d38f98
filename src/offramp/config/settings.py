"""The settings: one frozen tree, one loader, the only reader of the environment.

Order of precedence: command-line flag, environment variable, settings file, default. A section is a
TOML table; the environment variable of ``[certify] alpha`` is ``OFFRAMP_CERTIFY_ALPHA``.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from offramp.core.askers import MIN_ORIGINS
from offramp.core.call import OutputType
from offramp.core.errors import BadSetting
from offramp.core.measure import FITTING, Measure, Measures

if TYPE_CHECKING:
    from collections.abc import Mapping

ASSETS = Path(__file__).parent.parent / "assets"
_RECOGNISERS = ("bundled", "presidio", "spacy", "gliner")
_HERE = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # noqa: S104 - compared with


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where to listen and who the teacher is.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        upstream: Base URL of the teacher, with or without ``/v1``.
        anthropic: Base URL of the teacher behind ``/v1/messages``.
        upstream_key: Key sent to ``upstream`` in place of the clients' own; "" passes theirs on.
        anthropic_key: The same for ``anthropic``.
        timeout_s: Longest wait for the teacher's first byte.
        client: HTTP client towards the teacher: ``pool`` (own, fast) or ``aiohttp``.
        proxy: HTTP proxy on the way to the teacher, "" for none; ``HTTPS_PROXY`` where not set.
        trainable: Whether the terms of ``upstream`` allow training on its answers.
        anthropic_trainable: The same for ``anthropic``.
    """

    host: str = "127.0.0.1"
    port: int = 8411
    upstream: str = "https://api.openai.com/v1"
    anthropic: str = "https://api.anthropic.com/v1"
    upstream_key: str = field(default="", repr=False)
    anthropic_key: str = field(default="", repr=False)
    timeout_s: float = 600.0
    client: str = "pool"
    proxy: str = ""
    trainable: bool = True
    anthropic_trainable: bool = True

    def is_own(self, url: str) -> bool:
        """Whether a URL is where this gateway listens."""
        parts = urlsplit(url)
        here = (*_HERE, self.host)
        try:
            return parts.hostname in here and parts.port == self.port
        except ValueError:
            # A port that is none; what opens the URL says so.
            return False


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """What is recorded.

    Attributes:
        enabled: Record calls at all.
        ring_mb: Size of the shared memory between gateway and recorder, in MiB; beyond it, counted drops.
        ring_folder: Folder of that memory; "" takes one in memory (``/dev/shm``) where there is one.
        commit_ms: Longest wait, in milliseconds, until the calls of a group are forced to the disk.
        skip: Paths that are not recorded, comma-separated: ``/v1/embeddings``.
        retain_days: Age at which calls are removed, in days; 0 keeps them.
        max_bytes: Size of the store, in bytes, at which the oldest calls are removed; 0 for no limit.
        redact: ``full`` (rules and recogniser) or ``structured`` (rules only).
        recogniser: What finds names: ``bundled``, ``presidio``, ``spacy:MODEL`` or ``gliner:MODEL``.
    """

    enabled: bool = True
    ring_mb: int = 32
    ring_folder: str = ""
    commit_ms: float = 50.0
    skip: str = ""
    retain_days: float = 0.0
    max_bytes: int = 0
    redact: str = "full"
    recogniser: str = "bundled"


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What offramp tells of itself.

    Attributes:
        log: Form of the log: ``text`` or ``json``.
        otlp: OTLP/HTTP endpoint that spans are sent to (``http://localhost:4318``); "" sends none.
    """

    log: str = "text"
    otlp: str = ""


@dataclass(frozen=True, slots=True)
class CertifySettings:
    """The promise.

    Attributes:
        alpha: Largest share of answered calls that may disagree with the teacher.
        delta: Probability that any certificate of one round is wrong.
        audit_rate: Share of answered calls that the teacher is asked as well.
        ceiling: Make alpha what a teacher that disagrees with itself leaves room for, where repeated
            requests tell; never less than ``alpha``. Not where ``alpha`` was set and this was not: then alpha
            is what was asked for.
    """

    alpha: float = 0.05
    delta: float = 0.05
    audit_rate: float = 0.05
    ceiling: bool = True


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Who decides whether two free texts say the same (docs/certificates.md); asking it is billed.

    Attributes:
        model: Name of the model that judges; "" sets up no judge.
        upstream: Base URL of its server; "" takes ``gateway.upstream`` with its key.
        key: Key sent to ``upstream``.
        prompt: Text file with what it is told; the bundled one where not given. Another one is another judge.
        most: Pairs of answers that it is asked about in one conversion or check at most; 0 for no limit.
    """

    model: str = ""
    upstream: str = ""
    key: str = field(default="", repr=False)
    prompt: str = ""
    most: int = 5_000


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How specialists are trained.

    Attributes:
        base: Hugging Face directory or hub name of the base; the bundled nano base by default; ``auto``
            leaves the choice to ``offramp convert``.
        models: JSON file of models that ``auto`` may choose from; the bundled catalogue where not given.
        threads: Torch threads; more than one pays on an idle machine only (docs/lab-log.md).
        seed: Seed of every random draw.
        epochs: Passes over the training calls; 0 takes the method's default.
        trainer: What trains a base: ``own`` (resumes to the very bit; the bundled base needs it), ``trl``
            (TRL, for large bases), or ``auto``: TRL where it is installed and the base is another one.
        seeds: Runs with consecutive seeds, of which validation keeps the best.
        min_calls: Fewest calls a task needs before training is tried.
        min_origins: Fewest distinct askers (of a task; all where it has fewer, and sessions where it has one)
            whose calls must hold what a specialist keeps and could say to others.
        kinds: Kinds of candidates to try, separated by commas; "" tries those that suit (docs/candidates.md).
        cheaper: Name of a cheaper model at ``gateway.upstream`` to try as a candidate; asking it is billed.
        server: Base URL of an OpenAI-compatible server whose model is prompted with examples.
        server_model: The model's name there.
        server_key: Key sent to ``server``.
    """

    base: str = str(ASSETS / "nano")
    models: str = ""
    threads: int = 1
    seed: int = 20260
    epochs: int = 0
    trainer: str = "auto"
    seeds: int = 1
    min_calls: int = 100
    min_origins: int = MIN_ORIGINS
    kinds: str = ""
    cheaper: str = ""
    server: str = ""
    server_model: str = ""
    server_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """Who waits for whom in front of engines that hold only so many calls (docs/scheduling.md).

    Attributes:
        slots: Calls at once at ``gateway.upstream``; 0 lets all in, as a provider wants it.
        worker_slots: Proposals at once at the worker with the specialists; 0 lets all in.
        engines: Ask the engines that ``offramp enforce apply`` keeps up here for the models they serve.
        interactive: Guaranteed share of small-model calls that somebody waits for.
        tool: The same of small-model calls of agents.
        llm: The same of the LLM's calls.
        batch: The same of calls that nobody waits for.
        reserve: Share of the slots that is kept for the LLM's calls; others only borrow it.
        lend_s: Longest predicted seconds of a call that borrows.
        queue: Most calls of a class that wait; more are refused with 429.
        interactive_s: Seconds within which interactive calls are to be answered; later ones are refused
            with 503, or go from a specialist to the LLM.
        tool_s: The same for calls of agents, which are answered late rather than refused.
        llm_s: The same for the LLM's calls.
        batch_s: The same for calls that nobody waits for.
        small: Models at ``gateway.upstream`` that are small, comma-separated; other calls are the LLM's.
        adapters: Small models there that are adapters of one base, comma-separated.
        loaded: Adapters that the server holds at once (vLLM's ``--max-loras``).
        keys: Class of the calls of offramp keys: ``KEY=batch``, comma-separated.
        class_header: Request field that names the class where the key does not.
        deadline_header: Request field with the milliseconds until the answer is wanted.
    """

    slots: int = 0
    worker_slots: int = 0
    engines: bool = False
    interactive: float = 0.4
    tool: float = 0.2
    llm: float = 0.2
    batch: float = 0.05
    reserve: float = 0.2
    lend_s: float = 0.5
    queue: int = 1000
    interactive_s: float = 10.0
    tool_s: float = 60.0
    llm_s: float = 600.0
    batch_s: float = 86_400.0
    small: str = ""
    adapters: str = ""
    loaded: int = 8
    keys: str = ""
    class_header: str = "x-offramp-class"
    deadline_header: str = "x-offramp-deadline-ms"


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What calls and devices cost.

    Attributes:
        prices: JSON file of prices; the bundled one by default.
        device: Name of the device that specialists run on.
    """

    prices: str = ""
    device: str = "cpu-laptop"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings.

    Attributes:
        home: Folder of the store, its key, and the specialists.
        file: The file that was named to read them from, for processes started with the same; no setting.
        measures: What agreement is: by form of answer (``tool_call``, ``json``, ``label``, ``text``), or by a
            task's id, slug or name (docs/certificates.md).
        given: Names of what was set at all, wherever ("certify.alpha"); the rest are defaults. No setting.
    """

    home: Path = Path(".offramp")
    file: Path | None = None
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    certify: CertifySettings = field(default_factory=CertifySettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    plan: PlanSettings = field(default_factory=PlanSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    measures: Measures = field(default_factory=Measures)
    given: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def alpha_may_rise(self) -> bool:
        """Whether alpha may become what the teacher's agreement with itself leaves room for.

        Nobody who asked for an alpha gets a looser promise without asking for that as well.
        """
        asked = "certify.alpha" in self.given and "certify.ceiling" not in self.given
        return self.certify.ceiling and not asked

    @property
    def store_path(self) -> Path:
        """The SQLite file of calls and documents."""
        return self.home / "offramp.db"

    @property
    def key_path(self) -> Path:
        """The master key of the store."""
        return self.home / "master.key"

    @property
    def specialists_path(self) -> Path:
        """One folder per specialist."""
        return self.home / "specialists"


MEASURES = "measures"
SECTIONS = ("gateway", "record", "telemetry", "certify", "judge", "train", "plan", "schedule", MEASURES)


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        file: A TOML file; ``offramp.toml`` in the working directory where it is there and none is named.
        environ: Environment variables; the process's own by default.
        overrides: Values of flags by dotted name (``{"certify.alpha": 0.02}``); None values are ignored.

    Raises:
        BadSetting: An unknown name, or a value of the wrong type or out of range.
    """
    flat = {**_from_file(file), **_from_environment(os.environ if environ is None else environ)}
    flat |= {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = Settings()
    for name, value in flat.items():
        settings = _with(settings, name, value)
    return replace(_checked(settings), file=file.resolve() if file else None, given=frozenset(flat))


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or Path("offramp.toml")
    if not path.exists():
        if file is None:
            return {}
        raise BadSetting(f"Settings file {path} does not exist.", hint="Name another with --settings.")
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"Settings file {path} is not TOML: {error}.", hint="Mend or remove it.") from error
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith("OFFRAMP_"):
            continue
        section, _, key = variable.removeprefix("OFFRAMP_").lower().partition("_")
        flat[f"{section}.{key}" if section in SECTIONS else f"{section}_{key}".rstrip("_")] = value
    return flat


def _with(settings: Settings, name: str, value: Any) -> Settings:
    if name.startswith(f"{MEASURES}."):
        # The one table whose keys are the user's: a task may be called anything.
        chosen = _chosen(settings.measures, name.removeprefix(f"{MEASURES}."), value)
        return replace(settings, measures=chosen)
    section, _, key = name.rpartition(".")
    target = getattr(settings, section) if section in SECTIONS else settings
    known = {f.name for f in fields(target)} - (set() if section else {*SECTIONS, "file", "given"})
    if key not in known or (section and section not in SECTIONS):
        raise BadSetting(
            f"Unknown setting {name!r}.", hint=f"Allowed here: {', '.join(sorted(known | set(SECTIONS)))}."
        )
    changed = replace(target, **{key: _cast(name, value, getattr(target, key))})
    return changed if isinstance(changed, Settings) else replace(settings, **{section: changed})


def _chosen(measures: Measures, key: str, value: Any) -> Measures:
    try:
        output = OutputType(key)
    except ValueError:
        output = None
    allowed = tuple(Measure) if output is None else FITTING[output]
    if value not in allowed:
        compared = "" if output is None else f" compares {key} answers"
        raise BadSetting(
            f"Setting {MEASURES}.{key} is {value!r}; no measure of agreement of that name{compared}.",
            hint=f"Allowed here: {', '.join(allowed) or 'none'}.",
        )
    if output is None:
        return replace(measures, tasks={**measures.tasks, key: Measure(value)})
    return replace(measures, forms={**measures.forms, output: Measure(value)})


def _cast(name: str, value: Any, default: object) -> Any:
    kind: type[Any] = Path if isinstance(default, Path) else type(default)
    if kind is bool:
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
    elif not isinstance(value, bool):
        try:
            return kind(value)
        except (TypeError, ValueError):
            pass
    raise BadSetting(f"Setting {name} is {value!r}, which is no {kind.__name__}.", hint="Mend the value.")


def _checked(settings: Settings) -> Settings:
    ranges = (
        ("certify.alpha", settings.certify.alpha, 0.0, 1.0),
        ("certify.delta", settings.certify.delta, 0.0, 1.0),
        ("certify.audit_rate", settings.certify.audit_rate, 0.0, 1.0),
        ("gateway.port", settings.gateway.port, -1, 65_536),
        ("gateway.timeout_s", settings.gateway.timeout_s, 0.0, 86_400.0),
        ("record.ring_mb", settings.record.ring_mb, 0, 65_536),
        ("record.commit_ms", settings.record.commit_ms, 0.0, 60_000.0),
        ("record.retain_days", settings.record.retain_days, -1e-9, 1e6),
        ("record.max_bytes", settings.record.max_bytes, -1, 1 << 60),
        ("judge.most", settings.judge.most, -1, 1 << 40),
        ("train.threads", settings.train.threads, 0, 1024),
        ("train.seeds", settings.train.seeds, 0, 65),
        ("train.min_origins", settings.train.min_origins, 0, 1_000_001),
        ("schedule.slots", settings.schedule.slots, -1, 65_536),
        ("schedule.worker_slots", settings.schedule.worker_slots, -1, 65_536),
        ("schedule.lend_s", settings.schedule.lend_s, -1e-9, 86_400.0),
        ("schedule.queue", settings.schedule.queue, -1, 1_000_001),
        ("schedule.interactive_s", settings.schedule.interactive_s, 0.0, 1e6),
        ("schedule.tool_s", settings.schedule.tool_s, 0.0, 1e6),
        ("schedule.llm_s", settings.schedule.llm_s, 0.0, 1e6),
        ("schedule.batch_s", settings.schedule.batch_s, 0.0, 1e6),
        ("schedule.loaded", settings.schedule.loaded, 0, 65_536),
    )
    for name, value, low, high in ranges:
        if not low < value < high:
            raise BadSetting(
                f"Setting {name} is {value}, allowed is {low} < {name} < {high}.", hint="Mend it."
            )
    words = (
        ("gateway.client", settings.gateway.client, ("pool", "aiohttp")),
        ("record.redact", settings.record.redact, ("full", "structured")),
        ("record.recogniser", settings.record.recogniser.partition(":")[0], _RECOGNISERS),
        ("train.trainer", settings.train.trainer, ("auto", "own", "trl")),
        ("telemetry.log", settings.telemetry.log, ("text", "json")),
    )
    for name, word, allowed in words:
        if word not in allowed:
            raise BadSetting(f"Setting {name} is {word!r}, allowed: {', '.join(allowed)}.", hint="Mend it.")
    return settings
