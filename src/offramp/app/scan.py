"""A scan: what could leave the LLM, from logs alone; everything it makes is gone when it ends."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.app.build import build, heavy
from offramp.app.chosen import AUTO
from offramp.app.money import cost_shares, prices_of
from offramp.app.summary import summarise
from offramp.config.settings import JudgeSettings, TrainSettings
from offramp.core.errors import BadInput
from offramp.interchange import Broken, format_named, read_calls
from offramp.loop.find import Stages, find_in
from offramp.record.imports import admitted
from offramp.record.pseudonym import Pseudonyms
from offramp.redact.redactor import Redacted
from offramp.report.results import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from offramp.app.build import App
    from offramp.config import Settings
    from offramp.core.call import Call
    from offramp.discover.discover import Discovery
    from offramp.loop.budget import Budget
    from offramp.loop.workshop import Workshop
    from offramp.report.results import TaskResult
    from offramp.report.summary import Summary
    from offramp.select import Unit

    Say = Callable[[str], None]

ASSUMED_DAYS = 30.0
"""A log that tells no times is taken for this many days of traffic: a month's money is then its own."""

_FIRST_TIME = 1e8
"""Seconds since the epoch below which a time is a line's number (the first times there are lie in 1973)."""

_SERVE = "offramp serve --upstream https://api.openai.com/v1"

_EVERY_S = 10.0
_PROBE = 300


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be scanned, and how.

    Attributes:
        logs: The files; ``-`` is standard input.
        format: Name of their format; told from each row where "".
        skip_broken: Leave out and count rows that are no calls.
        quick: Only find the tasks.
        minutes: Time for trying candidates.
        days: Days of traffic that the logs are; from their times where None.
        model: Model that answered the calls which name none; "" leaves them without a price.
    """

    logs: tuple[Path, ...]
    format: str = ""
    skip_broken: bool = False
    quick: bool = False
    minutes: float = 5.0
    days: float | None = None
    model: str = ""


def scan(settings: Settings, wanted: Wanted, say: Say) -> Summary:
    """Find the tasks in some logs, and what of them could leave the LLM.

    Calls stay in memory. What is learned from, or shown, is masked first, as the recorder would have done.

    Args:
        settings: The promise, prices, device, base. Their home is not touched.
        wanted: What to look at.
        say: Told what is going on, a line at a time.

    Raises:
        NotFound: A file is not there.
        BadInput: A row is no call, or there are none.
        MissingExtra: The train extra is not installed, and this is no quick scan.
    """
    if not wanted.quick:
        # Before minutes of reading, not after.
        heavy("offramp.loop.pipeline")
    with tempfile.TemporaryDirectory(prefix="offramp-scan-") as folder:
        # A scan sends nothing anywhere: no server is asked, however it is set up.
        bundled = TrainSettings().base
        base = bundled if settings.train.base == AUTO else settings.train.base
        train = replace(settings.train, server="", cheaper="", base=base)
        app = build(replace(settings, home=Path(folder), train=train, judge=JudgeSettings()))
        try:
            return _Scan(app, wanted, say).run()
        finally:
            app.close()


class _Scan:
    """One scan under way."""

    def __init__(self, app: App, wanted: Wanted, say: Say) -> None:
        self._app = app
        self._wanted = wanted
        self._say = say
        self._stages = Stages()
        self._left_out: list[str] = []
        self._started, self._worked = time.monotonic(), time.process_time()

    def run(self) -> Summary:
        calls, broken = self._read()
        facts = self._facts(calls, broken)
        prices = prices_of(self._app.settings)
        found = find_in(
            calls,
            self._app.store,
            self._stages,
            self._say,
            days=facts.days,
            prices=prices,
            measures=self._app.measures,
        )
        able = any(task.convertible for task in found[1].tasks)
        if able and not self._wanted.quick:
            self._convert(*found)
        title = ", ".join("standard input" if path == Path("-") else path.name for path in self._wanted.logs)
        facts = replace(
            facts, left_out=tuple(self._left_out), command=_next(self._wanted) if able else _SERVE
        )
        summary = summarise(
            self._app.store, self._app.settings, seconds=self._stages.seconds, title=title, scan=facts
        )
        return self._masked_names(replace(summary, calls_total=facts.calls), *found)

    def _masked_names(self, summary: Summary, calls: Sequence[Call], discovery: Discovery) -> Summary:
        """Mask what is shown of calls: the tasks were found in them as they stand in the log."""
        redact = self._app.redactor.redact
        first: dict[str, Call] = {}
        for call in calls:
            first.setdefault(discovery.assignment.get(call.id, ""), call)

        def shown(task: TaskResult) -> str:
            # A name that its masked prompt still holds was read in context, and is nobody's.
            prompt = redact(first[task.id].request).value if task.id in first else {}
            taken = re.split(r" [(\[]", task.name)[0]
            return task.name if _words(taken) in _words(dumps(prompt)) else redact(task.name).value

        names = {task.name: shown(task) for task in summary.tasks}
        tasks = tuple(
            replace(
                task,
                name=names[task.name],
                exemplars=tuple(redact(list(task.exemplars)).value),
                subtasks=tuple(redact(list(task.subtasks)).value),
            )
            for task in summary.tasks
        )
        curves = tuple(replace(curve, label=names.get(curve.label, curve.label)) for curve in summary.curves)
        return replace(summary, tasks=tasks, curves=curves)

    def _read(self) -> tuple[list[Call], Broken]:
        started = time.perf_counter()
        broken = Broken()
        raw = read_calls(
            self._wanted.logs,
            wanted=format_named(self._wanted.format) if self._wanted.format else None,
            broken=broken if self._wanted.skip_broken else None,
        )
        # Who asked is nobody's business in a scan: the key of the pseudonyms is forgotten with it.
        seen = admitted(_shown(raw, self._say), lambda value: Redacted(value, {}), Pseudonyms(os.urandom(32)))
        calls = list({call.id: _with_model(call, self._wanted.model) for call in seen}.values())
        self._stages.timed("read", started)
        if not calls:
            left = f" {broken.lines} broken lines; the first: {broken.first}" if broken.lines else ""
            raise BadInput(
                f"There is no call in {', '.join(map(str, self._wanted.logs))}.{left}",
                hint="`offramp scan --help` says which forms are read.",
            )
        skipped = f", {broken.lines} broken lines left out" if broken.lines else ""
        self._say(f"Read {len(calls):,} calls{skipped}.")
        return calls, broken

    def _facts(self, calls: Sequence[Call], broken: Broken) -> Scan:
        timed = max(call.at for call in calls) > _FIRST_TIME
        days = self._wanted.days
        if days is None and not timed:
            days = ASSUMED_DAYS
        if days is None:
            span = max(call.at for call in calls) - min(c.at for c in calls if c.at > _FIRST_TIME)
            days = max(span / 86_400, 1 / 24)
        return Scan(
            calls=len(calls),
            sessions=len({call.session for call in calls}),
            days=days,
            times="given" if self._wanted.days is not None else "log" if timed else "assumed",
            quick=self._wanted.quick,
            minutes=0.0 if self._wanted.quick else self._wanted.minutes,
            skipped=broken.lines,
            skipped_at=tuple(broken.where),
        )

    def _convert(self, calls: Sequence[Call], discovery: Discovery) -> None:
        budgets, pipeline = map(heavy, ("offramp.loop.budget", "offramp.loop.pipeline"))
        settings = self._app.settings
        budget: Budget = budgets.Budget(60 * self._wanted.minutes, slowness=self._slowness())
        workshop = self._app.workshop(self._say)
        shares = cost_shares(self._app.store, settings)[0]

        def worth(unit: Unit) -> float:
            return sum(shares.get(task.id, task.share_tokens) for task in unit.tasks)

        chosen = self._chosen(calls, discovery, workshop, budget, worth)
        masked = self._masked(chosen)
        conversions = pipeline.run_night(
            self._app.store,
            (masked, discovery),
            replace(workshop, denies=budget.denies),
            self._app.goal,
            self._stages,
            self._say,
            worth=worth,
        )
        tried = {task.id for conversion in conversions for task in conversion.unit.tasks}
        self._left_out += [
            f"{task.name}: none of its calls can be learned from (pictures, failed calls, no payload)."
            for task in discovery.tasks
            if task.convertible and task.id not in tried
        ]
        self._left_out += budget.left_out

    def _slowness(self) -> float:
        """How many times longer than its work everything took until now: others use this core too."""
        return max(1.0, (time.monotonic() - self._started) / max(1e-3, time.process_time() - self._worked))

    def _chosen(
        self,
        calls: Sequence[Call],
        discovery: Discovery,
        workshop: Workshop,
        budget: Budget,
        worth: Callable[[Unit], float],
    ) -> list[Call]:
        """Take as many calls of each unit as the budget carries, by whole sessions."""
        budgets, select = heavy("offramp.loop.budget"), heavy("offramp.select")
        units = select.units_of(discovery.tasks)
        by_task: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_task[discovery.assignment.get(call.id, "")].append(call)
        chosen: list[Call] = []
        for unit, share in zip(units, budgets.shares_of(units, worth), strict=True):
            own = [call for task in unit.tasks for call in by_task[task.id]]
            able = self._able(unit, own, discovery, workshop)
            kinds, most = budget.affordable(unit, able, len(own), share)
            self._say(
                f"{unit.name}: {', '.join(kinds) or 'nothing'} on {most:,} of {len(own):,} calls, "
                f"about {budgets.minutes(budget.estimate(kinds, most))} here."
            )
            if most < len(own):
                self._left_out.append(
                    f"{unit.name}: {most:,} of its {len(own):,} calls were used, for {', '.join(kinds)}."
                )
            sessions: dict[str, list[Call]] = defaultdict(list)
            for call in own:
                sessions[call.session].append(call)
            chosen += budgets.drawn(sessions, most)
        return chosen

    def _able(
        self, unit: Unit, calls: Sequence[Call], discovery: Discovery, workshop: Workshop
    ) -> tuple[str, ...]:
        """Name the kinds that can do a unit, judged on a few of its calls; nothing is trained."""
        kinds, curate = heavy("offramp.loop.candidates"), heavy("offramp.curate.curate")
        workshops = heavy("offramp.loop.workshop")
        try:
            dataset = curate.curate(calls[:_PROBE], discovery.assignment, unit.tasks)
        except BadInput:
            return tuple(workshop.kinds)
        brief = workshops.Brief(unit, dataset)
        return tuple(kind for kind in workshop.kinds if not kinds.candidate_of(kind).can(brief, workshop))

    def _masked(self, calls: Sequence[Call]) -> list[Call]:
        started = time.perf_counter()
        redact = self._app.redactor.redact
        masked = []
        for call in _counted(calls, len(calls), "Masked", self._say):
            value = redact({"request": call.request, "response": call.response}).value
            masked.append(replace(call, request=value["request"], response=value["response"]))
        self._stages.timed("mask", started)
        return masked


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _with_model(call: Call, model: str) -> Call:
    if not model or call.request.get("model"):
        return call
    return replace(call, request={**call.request, "model": model})


def _shown(calls: Iterable[Call], say: Say) -> Iterator[Call]:
    return _counted(calls, None, "Read", say)


def _counted(calls: Iterable[Call], total: int | None, verb: str, say: Say) -> Iterator[Call]:
    """Pass calls on, and tell every few seconds how far it is."""
    started = last = time.monotonic()
    for number, call in enumerate(calls, start=1):
        yield call
        now = time.monotonic()
        if now - last >= _EVERY_S:
            last = now
            to_go = f", {(total - number) * (now - started) / number:.0f} s to go" if total else ""
            say(f"{verb} {number:,}{f' of {total:,}' if total else ''} calls{to_go}.")


def _next(wanted: Wanted) -> str:
    logs = " ".join(str(path) for path in wanted.logs)
    if wanted.quick:
        return f"offramp scan {logs} --out scan.html"
    return f"offramp import {logs} && offramp convert"
