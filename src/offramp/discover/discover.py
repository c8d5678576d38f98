"""From calls to tasks."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from offramp.core.json import digest
from offramp.core.measure import Measures
from offramp.core.task import Task
from offramp.discover.assign import Assigner, Fork, Rule
from offramp.discover.cluster import MIN_CALLS, Site, Variant, merge_wordings, sites_of
from offramp.discover.describe import name_of, uniquely
from offramp.discover.forks import Branch, Split, split_of
from offramp.discover.forms import evidence_of
from offramp.discover.identity import Memory, Portrait, matched
from offramp.discover.openings import Side
from offramp.discover.profile import described, repeated
from offramp.discover.sighting import Payload, Sighting, Watch
from offramp.discover.verdict import judge_seen
from offramp.discover.versions import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from offramp.core.call import Call, OutputType
    from offramp.core.measure import Measure
    from offramp.core.task import Change
    from offramp.discover.sighting import Price
    from offramp.discover.signature import Signature

NAMING_SESSIONS = 5
"""Sessions that must share a text before it is remembered, or a user's text before it names a task."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The tasks found in some calls.

    Attributes:
        tasks: By share of calls, largest first.
        assigner: Assigns new requests to them; applied to the calls it gives ``assignment``.
        assignment: Task id by call id; calls that belong to no recurring task are absent.
        changes: What happened to the tasks of the discovery before.
        memory: What the next discovery needs to keep the ids.
        repeated: By task id the questions that were asked more than once, each as the ids of its calls.
    """

    tasks: tuple[Task, ...]
    assigner: Assigner
    assignment: Mapping[str, str]
    changes: tuple[Change, ...]
    memory: Memory
    repeated: Mapping[str, tuple[tuple[str, ...], ...]]


@dataclass(slots=True)
class _Found:
    """A task in the making: a call site, or one branch of it."""

    id: str
    site: Site
    branch: Branch | None
    seen: list[Sighting]

    @property
    def text(self) -> str:
        return self.branch.text if self.branch is not None else self.site.text

    @property
    def last(self) -> Sighting:
        return max(self.seen, key=lambda s: (s.at, s.call))

    @property
    def sessions(self) -> int:
        return len({s.session for s in self.seen})


def discover(
    calls: Iterable[Call],
    *,
    previous: Memory | None = None,
    price: Price | None = None,
    measures: Measures = Measures(),  # noqa: B008 - frozen
) -> Discovery:
    """Find the recurring tasks in calls.

    Nothing but requests, answers, sessions, origins, times and tokens is read; ``meta`` is not. Calls are
    read once, one by one, and their order does not matter.

    Args:
        calls: Calls of any traffic; ids are unique.
        previous: What the last discovery left, where there was one: its ids persist.
        price: USD of a call, where it is known.
        measures: In which sense answers are compared.
    """
    watch = Watch(price)
    seen = sorted((watch.see(call) for call in calls), key=lambda s: (s.at, s.call))
    variants = _variants(seen)
    sites = joined(sites_of(variants))
    splits = [split_of(site, watch.instruction) for site in sites]
    assigner, found = _ruled(sites, splits)
    tasks = _caught(variants, assigner, found)
    changes: tuple[Change, ...] = ()
    quiet: tuple[Portrait, ...] = ()
    if previous is not None:
        match = matched(
            previous,
            [_portrait(task) for task in tasks],
            _flows(previous.assigner, tasks),
            {task.id: len(task.seen) for task in tasks},
        )
        for task in tasks:
            task.id = match.ids[task.id]
        assigner = assigner.renamed(match.ids).with_tasks_of(
            previous.assigner, {portrait.task for portrait in match.quiet}
        )
        changes, quiet = match.changes, match.quiet
    memory = Memory((*(_portrait(task) for task in tasks), *quiet), assigner)
    assignment = {s.call: task.id for task in tasks for s in task.seen}
    again = {task.id: repeated(task.seen) for task in tasks}
    described_tasks = tuple(_tasks(tasks, watch, seen, measures))
    return Discovery(described_tasks, assigner, assignment, changes, memory, again)


def _variants(seen: Iterable[Sighting]) -> list[Variant]:
    found: dict[Signature, dict[str, Variant]] = {}
    for sighting in seen:
        wordings = found.setdefault(sighting.signature, {})
        if sighting.wording not in wordings:
            wordings[sighting.wording] = Variant(sighting.signature)
        wordings[sighting.wording].add(sighting)
    return [variant for wordings in found.values() for variant in merge_wordings(list(wordings.items()))]


def _ruled(sites: Sequence[Site], splits: Sequence[Split | None]) -> tuple[Assigner, dict[str, _Found]]:
    """Make the rules that assign calls to sites, and the tasks that they lead to, without calls yet."""
    exact: dict[str, str] = {}
    rules: list[Rule] = []
    rest: dict[str, str] = {}
    worded: dict[str, dict[str, str]] = {}
    forks: dict[str, Fork] = {}
    found: dict[str, _Found] = {}
    for site, split in zip(sites, splits, strict=True):
        task = _id(site.key)
        found[task] = _Found(task, site, None, [])
        if site.rest:
            rest[site.bucket] = task
        elif site.template is not None:
            rules.append(Rule(site.bucket, site.template, task))
        for variant in () if site.rest or site.template is not None else site.variants:
            if variant.wordings:
                worded.setdefault(variant.signature.key, {}).update(dict.fromkeys(variant.wordings, task))
            else:
                exact[variant.signature.key] = task
        if split is not None:
            own = {_id(f"{site.key}|{branch.instructions[0]}"): branch for branch in split.branches}
            found |= {branch_id: _Found(branch_id, site, branch, []) for branch_id, branch in own.items()}
            instructions = {key: i for i, branch in own.items() for key in branch.instructions}
            forks[task] = Fork(split.side, instructions, task if split.rest else "")
    return Assigner(exact, rules, rest, worded, forks), found


def _id(key: str) -> str:
    return "t-" + digest(key, size=6)


def _caught(variants: Sequence[Variant], assigner: Assigner, found: Mapping[str, _Found]) -> list[_Found]:
    """Give every task the calls that its rules catch: what serves tomorrow is what is counted today."""
    for variant in variants:
        for wording, group in _by_wording(variant).items():
            task = assigner.place(variant.signature, wording)
            fork = assigner.fork(task)
            for sighting in group:
                own = task if fork is None else _forked(fork, sighting)
                if own is not None:
                    found[own].seen.append(sighting)
    return [task for task in found.values() if len(task.seen) >= MIN_CALLS]


def _by_wording(variant: Variant) -> dict[str, list[Sighting]]:
    groups: dict[str, list[Sighting]] = defaultdict(list)
    for sighting in variant.seen:
        groups[sighting.wording if variant.wordings else ""].append(sighting)
    return groups


def _forked(fork: Fork, sighting: Sighting) -> str | None:
    return fork.task(sighting.head if fork.side is Side.HEAD else sighting.tail)


def _flows(assigner: Assigner, tasks: Iterable[_Found]) -> dict[tuple[str, str], int]:
    """Count the calls that an older assigner puts in each of its tasks, by old and new task."""
    flows: dict[tuple[str, str], int] = defaultdict(int)
    for task in tasks:
        for sighting in task.seen:
            before = assigner.place(sighting.signature, sighting.wording)
            fork = assigner.fork(before)
            before = before if fork is None else _forked(fork, sighting)
            if before is not None:
                flows[before, task.id] += 1
    return flows


def _portrait(task: _Found) -> Portrait:
    kind, values = evidence_of([s.facts.shape for s in task.seen if s.facts is not None])
    first = task.site.first
    return Portrait(
        task=task.id,
        bucket=f"{first.kind}|{first.form}",
        text=_remembered_text(task),
        tools=task.last.tools.names,
        kind=kind,
        values=frozenset(values),
        first=min(s.at for s in task.seen),
        last=task.last.at,
    )


def _remembered_text(task: _Found) -> str:
    if task.sessions < NAMING_SESSIONS:
        return ""
    return task.site.living[-1] if task.site.living and task.branch is None else task.text


def _tasks(found: Sequence[_Found], watch: Watch, seen: Sequence[Sighting], measures: Measures) -> list[Task]:
    tools = [task.site.variants[0].seen[0].tools.names for task in found]
    plain = [name_of(_naming_text(task), own) for task, own in zip(found, tools, strict=True)]
    names = uniquely(plain, tools, [task.id for task in found])
    all_tokens = sum(s.tokens for s in seen)
    all_cost = math.fsum(s.cost for s in seen)
    spoken = {s.facts.said for s in seen if s.facts is not None}
    result: list[Task] = []
    for task, (name, slug) in zip(found, names, strict=True):
        sessions = task.sessions
        chosen = partial(_measure, measures, (task.id, slug, name))
        verdict = judge_seen(task.seen, sessions, spoken, chosen=chosen)
        subtasks, profile = described(task.seen, _payloads(task, watch), verdict, all_cost)
        result.append(
            Task(
                id=task.id,
                version=_version(task),
                name=name,
                signature=task.site.key,
                output=verdict.output,
                calls=len(task.seen),
                share_calls=len(task.seen) / len(seen),
                share_tokens=sum(s.tokens for s in task.seen) / all_tokens,
                sessions=sessions,
                convertible=verdict.convertible,
                reason=verdict.reason,
                slug=slug,
                chat=verdict.chat,
                measure=verdict.measure,
                subtasks=subtasks,
                profile=profile,
            )
        )
    return sorted(result, key=lambda task: (-task.calls, task.id))


def _measure(measures: Measures, names: tuple[str, ...], output: OutputType) -> Measure | None:
    return measures.of(output, *names)


def _payloads(task: _Found, watch: Watch) -> list[Payload]:
    """Collect the sampled payloads of a task, of other tasks with the same signature none."""
    own = {s.call for s in task.seen}
    listed = {s.signature.sample: s.signature for s in task.seen}
    return [p for signature in listed.values() for p in watch.payloads(signature) if p.seen.call in own]


def _naming_text(task: _Found) -> str:
    if task.branch is not None or task.site.template is not None or task.site.first.kind == "system":
        return task.text
    # Without a prompt the frame is a user's own words.
    return task.text if task.sessions >= NAMING_SESSIONS else ""


def _version(task: _Found) -> str:
    """Hash of the template, and of tools and response format in full, as they were last seen."""
    site = task.site
    wordings = sorted({wording for variant in site.variants for wording in variant.wordings})
    # Tools that differ from call to call are payload: their version would be the last call's.
    tools = "" if site.any_tools else task.last.tools.digest
    texts = [*site.living] if site.living else [site.text]
    branch = [task.branch.text] if task.branch is not None else []
    return digest([*texts, *branch, wordings, tools, task.last.form], size=8)
