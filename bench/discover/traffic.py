"""Recorded calls with the call sites they came from, mixed as one stream of traffic.

What a call site is, file by file. It is the place in a program that builds the prompt; a label that names
an *answer* (the tool that was called, the intent that was found) is folded into its site and kept as the
call's *action*, which scores the hierarchy below a site.

============  =====================================================  =====================================
file          call sites                                             actions inside a site
============  =====================================================  =====================================
clinc150      1: a router with one prompt                            151 intents
hwu64         18: one prompt and tool list per scenario              64 tools
intercode     4: SQL, bash, Python and CTF agents                    none labelled
tau_airline   2: the agent, the simulated user                       the agent's 13 tools, or it responds
zeroeval      3: one per data set; no prompt. Two of them share      none labelled
              every fixed word and differ in the question alone
bfcl          1: no prompt, and tools of its own for every call      717: the tools, or none fits
toolbench     1: one prompt, and tools of its own for every run      23: the tools, or it responds
crewai        the agent's role where the prompt states one; the      none labelled
              other calls stay in the mix and out of the score
============  =====================================================  =====================================

The crewAI roles come from a test suite: agents of one role differ in backstory, goal, tools and framework
version from test to test, so one role is often several programs. They are scored as they are labelled, and
once more by agent: role, backstory and goal as the prompt states them (``agent_of``), which is the nearest to
a call site that the data tell. Every prompt verbatim as a group of its own scores 0.68 against the roles.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from offramp.core.call import Call
from offramp.discover.signature import static_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SPAN_S = 7 * 86_400.0
"""Sessions of the mix start at random within a week: files follow each other, traffic does not."""

_AGENT = re.compile(
    r"(You are .*?\nYour personal goal is: .*?)(?:\n(?:To give my best|\nYou ONLY|Tools:)|$)", re.DOTALL
)

STEP_S = 20.0
"""Seconds between the calls of a session."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A call and what is known about it.

    Attributes:
        call: What discovery sees.
        file: Where it comes from.
        site: Its call site, None where nobody knows.
        action: What the teacher did, where a label says so.
    """

    call: Call
    file: str
    site: str | None
    action: str | None


def read(path: Path) -> list[Labelled]:
    """Read one file of recorded calls, one JSON object a line."""
    name = path.name.removesuffix(".jsonl.gz")
    with gzip.open(path, "rt") as file:
        return [_labelled(json.loads(line), name, number) for number, line in enumerate(file)]


def agent_of(call: Call) -> str | None:
    """Return who a crewAI prompt says that the agent is, without what the framework adds to it."""
    found = _AGENT.match(static_text(call.request)[1])
    return found[1].strip() if found is not None else None


def mix(labelled: Iterable[Labelled], *, seed: int = 0) -> list[Labelled]:
    """Give every session a time of its own and order all calls by time."""
    rng = random.Random(seed)
    sessions: dict[str, list[Labelled]] = {}
    for item in labelled:
        sessions.setdefault(item.call.session, []).append(item)
    mixed: list[Labelled] = []
    for items in sessions.values():
        start = rng.random() * SPAN_S
        for step, item in enumerate(sorted(items, key=lambda i: (i.call.at, i.call.id))):
            mixed.append(replace(item, call=replace(item.call, at=start + step * STEP_S)))
    return sorted(mixed, key=lambda item: (item.call.at, item.call.id))


def sample(labelled: Sequence[Labelled], count: int, *, seed: int = 0) -> list[Labelled]:
    """Draw calls at random, in their order; all where there are no more than that."""
    if len(labelled) <= count:
        return list(labelled)
    kept = sorted(random.Random(seed).sample(range(len(labelled)), count))
    return [labelled[index] for index in kept]


def sample_sessions(labelled: Sequence[Labelled], count: int, *, seed: int = 0) -> list[Labelled]:
    """Draw whole sessions at random until they hold about so many calls; in the order of the calls."""
    sizes: dict[str, int] = {}
    for item in labelled:
        sizes[item.call.session] = sizes.get(item.call.session, 0) + 1
    sessions = sorted(sizes)
    random.Random(seed).shuffle(sessions)
    kept: set[str] = set()
    held = 0
    for session in sessions:
        if held >= count:
            break
        kept.add(session)
        held += sizes[session]
    return [item for item in labelled if item.call.session in kept]


def _labelled(row: dict[str, Any], name: str, number: int) -> Labelled:
    meta = row.get("meta") or {}
    at = datetime.fromisoformat(row["ts"]).timestamp() if row.get("ts") else float(number)
    session = str(row.get("session") or meta.get("episode") or meta.get("case") or row["id"])
    call = Call(
        id=f"{name}/{row['id']}",
        at=at,
        session=f"{name}/{session}",
        origin=f"{name}/{session}",
        request=row["request"],
        response=row["response"],
        status=int(meta.get("status") or 200),
        latency_s=float(meta.get("latency_ms") or 0) / 1000,
        meta=meta,
    )
    site, action = _truth(name, row.get("subtask"), meta)
    return Labelled(call, name, site, action)


def _truth(name: str, label: str | None, meta: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return call site and action; see the table above."""
    if meta.get("call_site"):
        return str(meta["call_site"]), None
    if label is None:
        return None, None
    for part, site in (("clinc", "clinc/router"), ("bfcl", "bfcl"), ("toolbench", "toolbench")):
        if part in name:
            return site, label
    if "hwu64" in name:
        return f"hwu64/{label}", str(meta.get("intent"))
    if "tau" in name:
        return ("tau/user", None) if label == "simulate_user" else ("tau/agent", label)
    return f"{name.split('_', maxsplit=1)[0]}/{label}", None
