"""`build(settings)` makes the app: which store, which redactor, which engine; heavy parts on first use."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offramp.app import judging
from offramp.app.asking import HttpChat
from offramp.app.chosen import AUTO, chosen_base
from offramp.app.recording import TellingWriter
from offramp.app.teacher import open_teacher
from offramp.core.errors import MissingExtra, NotFound
from offramp.record.parse import Parser
from offramp.record.process import Writer
from offramp.record.pseudonym import Pseudonyms
from offramp.storage.crypto import load_key
from offramp.storage.sqlite import SqliteStore
from offramp.telemetry import SpanSender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from offramp.config import Settings
    from offramp.core.json import JsonObject
    from offramp.core.measure import Measures
    from offramp.core.model import Example
    from offramp.engine.embedder import Embedder
    from offramp.engine.port import Engine
    from offramp.loop.judge import ChatJudge
    from offramp.loop.ladder import Tools, Workshop
    from offramp.loop.night import Goal
    from offramp.loop.workshop import Asked, TrainAdapter
    from offramp.redact.redactor import Redactor
    from offramp.storage.port import Store

ENGINE_BATCH = 32


@dataclass
class App:
    """The parts of one installation, made when first asked for.

    Attributes:
        settings: The settings they are made from.
    """

    settings: Settings

    @cached_property
    def key(self) -> bytes:
        """The master key, created with the home folder on first use; never beside a store that has one."""
        self.settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return load_key(self.settings.key_path, create=not self.settings.store_path.exists())

    @cached_property
    def store(self) -> Store:
        """The store of calls and documents."""
        return self.open_store()

    def open_store(self) -> Store:
        """Open the store once more, over a connection of its own."""
        return SqliteStore(self.settings.store_path, self.key)

    @cached_property
    def redactor(self) -> Redactor:
        """Masks PII and secrets; surrogates depend on this installation's key."""
        record = self.settings.record
        adapters = importlib.import_module("offramp.redact.adapters")
        module = importlib.import_module("offramp.redact.redactor")
        recogniser = adapters.open_recogniser(record.recogniser if record.redact == "full" else "none")
        redactor: Redactor = module.Redactor(self.store.secret("redact"), recogniser)
        return redactor

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """Stand for origins and sessions."""
        return Pseudonyms(self.pseudonym_key)

    @property
    def pseudonym_key(self) -> bytes:
        """Key of the pseudonyms."""
        return self.store.secret("pseudonym")

    def open_writer(self) -> Writer:
        """Open the recorder's end: parse, redact, encrypt, store, tell the collector where there is one."""
        parser = Parser(self.redactor.redact, self.pseudonym_key)
        if not self.settings.telemetry.otlp:
            return Writer(self.store, parser)
        return TellingWriter(self.store, parser, SpanSender(self.settings.telemetry.otlp))

    @cached_property
    def embedder(self) -> Embedder:
        """The sentence encoder, remembering what it has embedded."""
        module = heavy("offramp.engine.embedder")
        embedder: Embedder = module.Remembering(module.SentenceEmbedder(threads=self.settings.train.threads))
        return embedder

    @cached_property
    def engine(self) -> Engine:
        """The embedded engine with the configured base loaded."""
        engine: Engine = heavy("offramp.engine.embedded").EmbeddedEngine(
            self.base, batch_size=ENGINE_BATCH, threads=self.settings.train.threads
        )
        return engine

    @property
    def base_name(self) -> str:
        """Name of the base: the configured one, or with ``auto`` the one that a conversion chose.

        Raises:
            NotFound: None has been chosen yet.
        """
        name = self.settings.train.base
        return chosen_base(self.store) if name == AUTO else name

    @property
    def base(self) -> Path | str:
        """The base model: a directory where there is one of that name, else a hub name."""
        path = Path(self.base_name)
        return path if path.is_dir() else self.base_name

    @property
    def tools(self) -> Tools:
        """What specialists are opened with; nothing is loaded before it is needed."""
        server, cheaper = self._asked()
        tools: Tools = heavy("offramp.loop.ladder").Tools(
            lambda: self.embedder,
            lambda: self.engine,
            base=self.base_name,
            server=server,
            cheaper=cheaper,
        )
        return tools

    def _asked(self) -> tuple[Asked, Asked]:
        """The models that are asked over HTTP: of a server of one's own, and of the teacher's provider."""
        asked = heavy("offramp.loop.workshop").Asked
        train = self.settings.train
        return (
            asked(train.server_model, lambda: self._server_chat) if train.server else asked(),
            asked(train.cheaper, lambda: self._teacher_chat),
        )

    @cached_property
    def _server_chat(self) -> HttpChat:
        settings = self.settings
        return HttpChat(
            lambda: open_teacher(settings.gateway, settings.train.server, settings.train.server_key)
        )

    @cached_property
    def _teacher_chat(self) -> HttpChat:
        gateway = self.settings.gateway
        return HttpChat(lambda: open_teacher(gateway, gateway.upstream, gateway.upstream_key))

    def workshop(
        self, say: Callable[[str], None], on_event: Callable[[JsonObject], None] | None = None
    ) -> Workshop:
        """What candidates are made with.

        Args:
            say: Told what is going on, a line at a time.
            on_event: Told how training goes, as JSON.
        """
        self.settings.specialists_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        server, cheaper = self._asked()

        def trainer(method: str) -> TrainAdapter:
            return lambda train, validation, out: self._train(
                (train, validation), out, (method, say, on_event)
            )

        workshop: Workshop = heavy("offramp.loop.ladder").Workshop(
            folder=self.settings.specialists_path,
            embedder=self.embedder,
            engine=lambda: self.engine,
            train_adapter=trainer("lora"),
            trainers={kind: trainer(kind) for kind in ("qlora", "full")},
            base=self.base_name,
            kinds=heavy("offramp.app.kinds").kinds_of(self.settings),
            server=server,
            cheaper=cheaper,
            site=heavy("offramp.app.sites").site_maker(self.settings),
            say=say,
            threads=self.settings.train.threads,
            seed=self.settings.train.seed,
            encoder=heavy("offramp.engine.embedder").packaged_model(),
            recipe=self._recipe,
            min_origins=self.settings.train.min_origins,
            judging=judging.judging_with(self.store, self.judge),
        )
        return workshop

    @cached_property
    def _judge_chat(self) -> HttpChat:
        return judging.chat_of(self.settings)

    @cached_property
    def judge(self) -> ChatJudge | None:
        """The judge of free text, for one conversion or check; None where none is set up."""
        return judging.judge_of(self.settings, self._judge_chat, store=lambda: self.store)

    @property
    def measures(self) -> Measures:
        """In which sense answers are compared: the settings' choice, with what is known of the judge."""
        return judging.measures_with(self.settings.measures, self.store, self.judge)

    @property
    def goal(self) -> Goal:
        """What a night is to promise by these settings."""
        certify = self.settings.certify
        goal: Goal = heavy("offramp.loop.night").Goal(
            certify.alpha, certify.delta, seed=self.settings.train.seed, ceiling=self.settings.alpha_may_rise
        )
        return goal

    def _recipe(self) -> JsonObject:
        """What decides what training makes; threads do not."""
        revision = heavy("offramp.engine.bases").revision(str(self.base))
        options = asdict(replace(self._options(), threads=1))
        return {"trainer": self._trainer(), "base": revision, **options}

    def _trainer(self) -> str:
        """What trains the base: the loop of our own for the bundled one, TRL for others where it is there."""
        asked = self.settings.train.trainer
        if asked != "auto":
            return asked
        own = (
            Path(self.base_name) == heavy("offramp.engine.nano").NANO_BASE
            or not heavy("offramp.train.methods").has_trl()
        )
        return "own" if own else "trl"

    def _options(self) -> Any:
        settings = self.settings.train
        chosen: dict[str, Any] = {"epochs": settings.epochs} if settings.epochs else {}
        return heavy("offramp.train.lora").LoraOptions(
            threads=settings.threads, seed=settings.seed, seeds=settings.seeds, **chosen
        )

    def _train(
        self,
        examples: tuple[Sequence[Example], Sequence[Example]],
        out: Path,
        how: tuple[str, Callable[[str], None], Callable[[JsonObject], None] | None],
    ) -> JsonObject:
        (method, say, on_event), methods, options = how, heavy("offramp.train.methods"), self._options()

        def show(progress: Any) -> None:
            say(f"    training: {progress.line()}")
            if on_event is not None:
                on_event(progress.to_dict())

        pairs = heavy("offramp.train.fit").Pairs(*examples)
        result = methods.train(
            method,
            pairs,
            base=self.base,
            out=out,
            options=options,
            on_progress=show,
            trainer=self._trainer(),
        )
        if result.left_out:
            say(f"    training: {result.left_out} examples are longer than the context and were left out")
        figures: JsonObject = result.figures()
        return figures

    def close(self) -> None:
        """Close what was opened."""
        for name in ("store", "_server_chat", "_teacher_chat", "_judge_chat"):
            if name in self.__dict__:
                getattr(self, name).close()


def build(settings: Settings, *, existing: bool = False) -> App:
    """Make the app for some settings; nothing is opened yet.

    Args:
        settings: The settings.
        existing: For commands that only make sense on what was recorded before.

    Raises:
        NotFound: There is no store yet, and ``existing`` asks for one; nothing was created.
    """
    if existing and not settings.store_path.exists():
        raise NotFound(
            f"There is no store yet at {settings.store_path}.",
            hint="Send traffic through `offramp serve`, or `offramp import LOGS`.",
        )
    return App(settings)


def heavy(module: str) -> ModuleType:
    """Import a module that needs the train extra, when it is needed and not before.

    Raises:
        MissingExtra: The extra is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("offramp"):
            raise
        raise MissingExtra(
            f"{error.name} is not installed; training and specialists need it.",
            hint="Install it: pip install 'offramp[train]'.",
        ) from error
