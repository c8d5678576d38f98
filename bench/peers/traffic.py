"""The recorded calls that the peers are compared on, with what offramp's discovery says of them."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.certify.agreement import agree
from offramp.core.call import Answer, Call, OutputType, Usage, answer_of
from offramp.core.dataset import Item
from offramp.core.json import canonical
from offramp.core.measure import default_of
from offramp.core.model import Example
from offramp.core.render import payload_of
from offramp.curate.dedupe import near_key
from offramp.curate.filter import keep
from offramp.dialect.chat.completion import estimate_usage
from offramp.discover.discover import discover
from offramp.select import units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject
    from offramp.core.task import Task
    from offramp.select import Unit

TAIL = 500
"""Characters of a payload that are embedded, the last ones: dialogues of one case begin alike."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one kind of traffic comes from.

    Attributes:
        name: Short name for the command line.
        title: What it is.
        files: File name in a folder of whole data sets, and in the bundled sample.
        teacher: Model whose price a call has; the recorded one where it has a price.
        takes: Whether a row belongs to it.
        session: What may not straddle parts, from a row's id: calls of one group are not independent.
    """

    name: str
    title: str
    files: tuple[str, str]
    teacher: str
    takes: Callable[[JsonObject], bool]
    session: Callable[[str], str]


def _every(row: JsonObject) -> bool:
    del row
    return True


def _agent(row: JsonObject) -> bool:
    # The simulated user's calls are another call site.
    return "/user" not in str(row["id"])


def _gpt4_sql(row: JsonObject) -> bool:
    return str(row["id"]).startswith("intercode/sql/gpt-4/")


def _alone(name: str) -> str:
    return name


def _airline_task(name: str) -> str:
    """Four trials of one customer's case are one group: tau-airline/task7/trial2/5 -> task7."""
    return name.split("/")[1]


def _question(name: str) -> str:
    """All turns on one question are one group: intercode/sql/gpt-4/turns/12/3 -> 12."""
    return name.split("/")[4]


SOURCES = (
    Source(
        "clinc150",
        "CLINC150 intents",
        ("gold_clinc150.jsonl.gz", "intent_router.jsonl.gz"),
        "gpt-4o",
        _every,
        _alone,
    ),
    Source(
        "home",
        "home-assistant tool calls",
        ("gold_hwu64_tools.jsonl.gz", "home_assistant.jsonl.gz"),
        "gpt-4o",
        _every,
        _alone,
    ),
    Source(
        "sql",
        "text-to-SQL (gpt-4)",
        ("intercode_gpt4_gpt35.jsonl.gz", "sql.jsonl.gz"),
        "gpt-4",
        _gpt4_sql,
        _question,
    ),
    Source(
        "airline",
        "airline agent (gpt-4o)",
        ("tau_airline_gpt4o.jsonl.gz", "airline.jsonl.gz"),
        "gpt-4o",
        _agent,
        _airline_task,
    ),
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls of one source.

    Attributes:
        source: Where they come from.
        rows: Every call with its answer; ``Example.completion`` is the answer's class (see `class_of`).
        kept: By call id, the item that offramp learns from; calls it keeps with the LLM are missing.
        unit: What one specialist would serve; None where discovery finds nothing convertible.
        tasks: The discovered tasks.
        outputs: Form of the answers by task id.
    """

    source: Source
    rows: tuple[Item, ...]
    kept: dict[str, Item]
    unit: Unit | None
    tasks: tuple[Task, ...]
    outputs: dict[str, OutputType]

    @property
    def refusal(self) -> str:
        """Why offramp keeps the LLM before anything is trained, "" where it does not."""
        return "" if self.unit else "; ".join(sorted({task.reason for task in self.tasks}))

    def agrees(self, row: Item, answer: Answer | None) -> bool:
        """Tell whether an answer to a call is the teacher's.

        offramp certifies text through a judge only. For peers that have no such rule, texts agree
        where they are the same but for case and white space, which flatters nobody.
        """
        if answer is None:
            return False
        output = self.outputs[row.task]
        if default_of(output) is not None:
            return agree(output, answer, row.answer)
        return class_of(answer) == class_of(row.answer)


def load(source: Source, folder: Path, *, bundled: bool) -> Traffic:
    """Read a source, discover its tasks, and prepare every call.

    Args:
        source: What to read.
        folder: Holds its file.
        bundled: Whether it is the folder of the bundled sample.

    Raises:
        FileNotFoundError: The file is not there.
    """
    path = folder / source.files[1 if bundled else 0]
    calls = [_call(row, at, source) for at, row in enumerate(_read(path)) if source.takes(row)]
    found = discover(calls)
    units = units_of(found.tasks)
    unit = units[0] if units else None
    tasks = {task.id: task for task in unit.tasks} if unit else {}
    items, _ = keep(calls, found.assignment, tasks)
    rows = tuple(row for call in calls if (row := _row(call, found.assignment.get(call.id, ""))))
    outputs = {"": OutputType.TEXT} | {task.id: task.output for task in found.tasks}
    return Traffic(source, rows, {item.call.id: item for item in items}, unit, found.tasks, outputs)


def embedded_text(request: JsonObject) -> str:
    """Return what of a request is embedded for peers and caches."""
    return payload_of(request)[-TAIL:]


def class_of(answer: Answer) -> str:
    """Return equal text for equal answers: a peer that only classifies takes whole answers as classes."""
    calls = sorted(call.canonical() for call in answer.tool_calls)
    return canonical([calls, " ".join(answer.text.split()).casefold()])


def representatives(rows: Sequence[Item]) -> dict[str, Answer]:
    """Return one answer of each class seen."""
    return {row.example.completion: row.answer for row in rows}


def slug(text: str) -> str:
    """Return text as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _read(path: Path) -> Iterator[JsonObject]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _call(row: JsonObject, at: int, source: Source) -> Call:
    request, response = row["request"], row["response"]
    usage = estimate_usage(request, response)
    return Call(
        id=str(row["id"]),
        at=float(at),
        session=source.session(str(row["id"])),
        origin="",
        request=request,
        response=response,
        usage=Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"])),
    )


def _row(call: Call, task: str) -> Item | None:
    answer = answer_of(call.response)
    if answer is None:
        return None
    payload = payload_of(call.request)
    return Item(call, task, answer, Example(call.id, payload, class_of(answer)), near_key(task, payload))
