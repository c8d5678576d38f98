"""From calls to tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.call import Call, functions_of, text_of
from offramp.core.json import digest
from offramp.core.task import Task
from offramp.discover.assign import Assigner, Rule
from offramp.discover.cluster import Site, Variant, merge_wordings, sites_of
from offramp.discover.describe import name_of, uniquely
from offramp.discover.forms import shape_of
from offramp.discover.signature import Signature, SignatureReader, wording_of
from offramp.discover.verdict import judge, usable_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text, used where the provider did not count."""

NAMING_SESSIONS = 5
"""Sessions that must share a user's text before it may appear in a task's name."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The tasks found in some calls.

    Attributes:
        tasks: By share of calls, largest first.
        assigner: Assigns new requests to them; applied to the calls it gives ``assignment``.
        assignment: Task id by call id; calls that belong to no recurring task are absent.
    """

    tasks: tuple[Task, ...]
    assigner: Assigner
    assignment: Mapping[str, str]


def discover(calls: Sequence[Call]) -> Discovery:
    """Find the recurring tasks in calls.

    Nothing but requests, answers, sessions and times is read; ``meta`` is not. The result does not
    depend on the order in which the calls are given.

    Args:
        calls: Calls of any traffic; ids are unique.
    """
    ordered = sorted(calls, key=lambda call: (call.at, call.id))
    variants = _variants(ordered)
    sites = sites_of(variants)
    ids = ["t-" + digest(site.key, size=6) for site in sites]
    assigner = _assigner(sites, ids)
    # A site's own calls are those its rules catch: what serves tomorrow is what is counted today.
    caught: dict[str, list[Call]] = {}
    for variant in variants:
        task = assigner.assign(ordered[variant.calls[0]].request)
        if task is not None:
            caught.setdefault(task, []).extend(ordered[index] for index in variant.calls)
    tasks = _tasks(sites, ids, caught, ordered)
    assignment = {call.id: task.id for task in tasks for call in caught[task.id]}
    return Discovery(tuple(tasks), assigner, assignment)


def tokens_of(call: Call) -> int:
    """Return a call's tokens as counted by the provider, or estimated from its characters."""
    if call.usage.total:
        return call.usage.total
    texts = [text_of(m.get("content")) for m in call.request.get("messages") or [] if isinstance(m, dict)]
    answer = usable_answer(call)
    return (sum(map(len, texts)) + len(answer.text if answer else "")) // CHARACTERS_PER_TOKEN + 1


def _variants(ordered: Sequence[Call]) -> list[Variant]:
    reader = SignatureReader()
    found: dict[Signature, dict[str, Variant]] = {}
    for index, call in enumerate(ordered):
        signature = reader.read(call.request)
        # Without a prompt the values are payload.
        wording = wording_of(call.request) if signature.kind == "system" else ""
        variant = found.setdefault(signature, {}).setdefault(wording, Variant(signature))
        variant.calls.append(index)
        variant.sessions.add(call.session or call.id)
        answer = usable_answer(call)
        if answer is not None:
            variant.shapes.append(shape_of(answer))
    return [variant for wordings in found.values() for variant in merge_wordings(list(wordings.items()))]


def _assigner(sites: Sequence[Site], ids: Sequence[str]) -> Assigner:
    exact: dict[str, str] = {}
    rules: list[Rule] = []
    rest: dict[str, str] = {}
    worded: dict[str, dict[str, str]] = {}
    for site, task in zip(sites, ids, strict=True):
        bucket = site.first.bucket
        if site.rest:
            rest[bucket] = task
        elif site.template is not None:
            rules.append(Rule(bucket, site.template, task))
        for variant in () if site.rest or site.template is not None else site.variants:
            if variant.wordings:
                worded.setdefault(variant.signature.key, {}).update(dict.fromkeys(variant.wordings, task))
            else:
                exact[variant.signature.key] = task
    return Assigner(exact, rules, rest, worded)


def _tasks(
    sites: Sequence[Site], ids: Sequence[str], caught: Mapping[str, list[Call]], ordered: Sequence[Call]
) -> list[Task]:
    kept = [(site, task) for site, task in zip(sites, ids, strict=True) if caught.get(task)]
    tools = [[str(f.get("name")) for f in functions_of(ordered[site.calls[0]].request)] for site, _ in kept]
    plain = [
        name_of(_naming_text(site, caught[task]), own) for (site, task), own in zip(kept, tools, strict=True)
    ]
    names = uniquely(plain, tools, [task for _, task in kept])
    tokens = {task: sum(map(tokens_of, listed)) for task, listed in caught.items()}
    all_tokens = sum(map(tokens_of, ordered))
    result: list[Task] = []
    for (site, task), (name, slug) in zip(kept, names, strict=True):
        own_calls = caught[task]
        sessions = len({call.session or call.id for call in own_calls})
        verdict = judge(own_calls, sessions)
        result.append(
            Task(
                id=task,
                version=_version(site, max(own_calls, key=lambda c: (c.at, c.id))),
                name=name,
                signature=site.key,
                output=verdict.output,
                calls=len(own_calls),
                share_calls=len(own_calls) / len(ordered),
                share_tokens=tokens[task] / all_tokens,
                sessions=sessions,
                convertible=verdict.convertible,
                reason=verdict.reason,
                slug=slug,
            )
        )
    return sorted(result, key=lambda task: (-task.calls, task.id))


def _naming_text(site: Site, calls: Sequence[Call]) -> str:
    if site.template is not None or site.first.kind == "system":
        return site.text
    # Without a prompt the frame is a user's own words.
    shared = len({call.session or call.id for call in calls}) >= NAMING_SESSIONS
    return site.text if shared else ""


def _version(site: Site, latest: Call) -> str:
    """Hash of the template, and of tools and response format in full, as they were last seen."""
    wordings = sorted({wording for variant in site.variants for wording in variant.wordings})
    functions = sorted(digest(function) for function in functions_of(latest.request))
    return digest([site.text, wordings, functions, latest.request.get("response_format")], size=8)
