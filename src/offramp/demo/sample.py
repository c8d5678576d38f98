"""Builds the bundled traffic sample from the published data sets.

    python -m offramp.demo.sample SOURCE_DIR OUT_DIR

``SOURCE_DIR`` holds the four converted data sets (one JSON object per line, gzip). What is invented
here, and only here, is *who calls when*: sessions and arrival times. Requests and answers are the
recorded ones; the standard ``user`` field is the only thing added to a request.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offramp.core.json import JsonObject

SEED = 20260
START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 5
# Share of a day's sessions that start in each hour: office hours, a lunch dip, a quiet night.
HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 18, 13, 16, 19, 19, 17, 14, 10, 8, 6, 4, 2, 1)
GAP_S = {"home_assistant": 20.0, "intent_router": 35.0, "airline": 12.0, "sql": 8.0}


@dataclass(frozen=True, slots=True)
class Source:
    """One data set and how its calls group into sessions.

    Attributes:
        name: Name of the file written.
        file: Name of the file read.
        sessions: Number of calls of a session, drawn uniformly; empty where episodes are recorded.
        calls: Stop after this many calls (whole sessions).
    """

    name: str
    file: str
    sessions: tuple[int, ...]
    calls: int


SOURCES = (
    Source("home_assistant", "gold_hwu64_tools.jsonl.gz", (1, 1, 1, 2, 2, 3), 9960),
    Source("intent_router", "gold_clinc150.jsonl.gz", (1, 1, 1, 2, 2, 3), 8000),
    Source("airline", "tau_airline_gpt4o.jsonl.gz", (), 2000),
    Source("sql", "intercode_gpt4_gpt35.jsonl.gz", (), 3000),
)


def build(source_dir: Path, out_dir: Path) -> dict[str, int]:
    """Write one file per source; returns calls per file."""
    rng = random.Random(SEED)  # noqa: S311 - reproducible arrivals, nothing secret
    written = {}
    for source in SOURCES:
        rows = list(_read(source_dir / source.file))
        sessions = _episodes(rows, source) if not source.sessions else _draw(rows, source, rng)
        calls = list(_timed(sessions, source, rng))
        path = out_dir / f"{source.name}.jsonl.gz"
        with gzip.GzipFile(path, "wb", mtime=0) as file:
            file.writelines(json.dumps(call, ensure_ascii=False).encode() + b"\n" for call in calls)
        written[path.name] = len(calls)
    return written


def _read(path: Path) -> Iterator[JsonObject]:
    with gzip.open(path, "rt") as file:
        for line in file:
            yield json.loads(line)


def _draw(rows: list[JsonObject], source: Source, rng: random.Random) -> list[list[JsonObject]]:
    """Shuffle independent utterances and cut them into short sessions."""
    rng.shuffle(rows)
    rows = rows[: source.calls]
    sessions: list[list[JsonObject]] = []
    while rows:
        size = min(rng.choice(source.sessions), len(rows))
        sessions.append([rows.pop() for _ in range(size)])
    return sessions


def _episodes(rows: list[JsonObject], source: Source) -> list[list[JsonObject]]:
    """Keep recorded episodes whole, in their recorded order.

    An airline session holds the agent's calls and the simulated user's, in turn: the n-th call of
    one side is followed by the n-th of the other, as it happened.
    """
    keep = {"airline": lambda r: r["meta"]["trial"] < 2, "sql": _is_sql_run}[source.name]
    episodes: dict[str, list[JsonObject]] = {}
    for row in filter(keep, rows):
        episodes.setdefault(row["meta"]["episode"].removesuffix("/user"), []).append(row)
    sessions, total = [], 0
    for episode in episodes.values():
        if total >= source.calls:
            break
        # Prompts only grow within an episode, which interleaves the two sides of an airline run.
        episode.sort(key=lambda row: len(row["request"]["messages"]))
        sessions.append(episode)
        total += len(episode)
    return sessions


def _is_sql_run(row: JsonObject) -> bool:
    return bool(row["subtask"] == "sql_agent" and row["request"]["model"] == "gpt-4")


def _timed(sessions: list[list[JsonObject]], source: Source, rng: random.Random) -> Iterator[JsonObject]:
    for number, session in enumerate(sessions):
        day, hour = rng.randrange(DAYS), rng.choices(range(24), HOURS)[0]
        at = START + timedelta(days=day, hours=hour, seconds=rng.uniform(0, 3600))
        user = f"{source.name[:4]}-user-{number:05d}"
        for row in session:
            yield {
                "id": row["id"],
                "ts": at.isoformat(timespec="milliseconds"),
                "session": user,
                "request": {**_cleaned(row["request"], source), "user": user},
                "response": row["response"],
                "meta": {"call_site": _call_site(row, source), "answers_by": row["meta"]["origin"]},
            }
            at += timedelta(seconds=1 + rng.expovariate(1 / GAP_S[source.name]))


def _cleaned(request: JsonObject, source: Source) -> JsonObject:
    if source.name == "intent_router":
        return {**request, "model": "gpt-4o"}
    return request


def _call_site(row: JsonObject, source: Source) -> str:
    if source.name == "home_assistant":
        return f"home/{row['subtask']}"
    if source.name == "airline":
        return "airline/user" if row["subtask"] == "simulate_user" else "airline/agent"
    return source.name


def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    arguments = parser.parse_args()
    for name, calls in build(arguments.source_dir, arguments.out_dir).items():
        print(f"{name}: {calls} calls")  # noqa: T201 - a script's result


if __name__ == "__main__":
    main()
