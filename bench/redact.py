"""What redaction finds, what it costs, and what it does to traffic.

    python bench/redact.py [FOLDER] [--presidio PYTHON]

FOLDER holds ``presidio_*.jsonl.gz`` and ``leaky_repo_secrets.jsonl.gz`` (default: the bundled sample, all of
it held out). Only texts whose template was held out of the recogniser's training are scored. PYTHON is an
interpreter that has presidio-analyzer; its pattern recognisers, without a language model, are scored too.

A name, place or address is *gone* when no identifying word of it is left in the masked text: no word of two
letters or more, no number of five digits or more, but for ordinary words, such as "street" and "Ltd", and in
addresses abbreviations of states (two or three capitals).
Anything else is gone, and a name is *touched*, when it no longer stands there whole. Precision: of what was
masked, the share that lies in a labelled value of any type. The interval (95 %) is the wider of Wilson's and
a bootstrap over templates.
"""

from __future__ import annotations

import argparse
import collections
import json
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from offramp.core.call import Call, answer_of
from offramp.core.errors import EngineError
from offramp.core.render import payload_of
from offramp.demo import traffic
from offramp.discover.discover import discover
from offramp.redact import Redactor
from offramp.redact.adapters import open_recogniser, spans_of
from offramp.redact.chain import RULES, Chain
from offramp.redact.corpus import Labelled, read_labelled, read_rows
from offramp.redact.keyed import Keyed
from offramp.redact.namemask import common_words
from offramp.redact.names import MASKED
from offramp.redact.tagger import Tagger, bundled_weights
from offramp.redact.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LEGEND = """
altered: calls in which anything changed; labels: one-word answers that changed; schemas: tools or response
formats that changed; tools: changed names or keys of tool calls; copies: arguments that stand in the prompt;
broken: that no longer do; refused: no certain way back; skew: requests that are masked otherwise than in the
recording; own: answers with a name or address that their request does not hold, so that there is no way back;
wrong: other answers that are not led back to what was said; tasks: adjusted Rand index of the tasks found
in masked calls against those in unmasked ones; CPU ms: masking a request and restoring its answer."""
KEY = b"a key for measuring, of 32 bytes"
HERE = Path(__file__).resolve().parent.parent / "tests" / "data" / "pii"
STRUCTURED = (
    "CREDIT_CARD",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "PHONE_NUMBER",
    "US_SSN",
    "US_DRIVER_LICENSE",
)
NAMED = ("PERSON", "GPE", "LOCATION", "STREET_ADDRESS", "ADDRESS", "ZIP_CODE", "ORGANIZATION")
REST = ("DATE_TIME", "AGE", "TITLE", "PREFIX", "NRP", "DOMAIN_NAME")
PRESIDIO = """
import json, sys
from presidio_analyzer import predefined_recognizers as known, PatternRecognizer
kinds = [getattr(known, name) for name in dir(known)]
rules = []
for kind in kinds:
    if not isinstance(kind, type) or not issubclass(kind, PatternRecognizer):
        continue
    try:
        rule = kind()
    except Exception:
        continue
    if rule.supported_language == "en":
        rules.append(rule)
rules.append(known.PhoneRecognizer())
for line in sys.stdin:
    text = json.loads(line)
    found = [x for rule in rules for x in rule.analyze(text, rule.supported_entities, None) or []]
    print(json.dumps([[x.start, x.end, x.entity_type] for x in found if x.score >= 0.3]))
"""
"""Presidio's pattern recognisers by themselves, without the context words that need a language model."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE, help="default: the bundled sample")
    parser.add_argument("--presidio", metavar="PYTHON", help="an interpreter with presidio-analyzer")
    parser.add_argument("--calls", type=int, default=400, help="calls read of each bundled agent")
    arguments = parser.parse_args()
    labelled = [text for text in read_labelled(arguments.folder) if text.held_out]
    print(f"{platform.python_implementation()} {platform.python_version()}, numpy {np.__version__}")
    print(f"{len(labelled)} held-out texts of {len({text.group for text in labelled})} templates\n")
    score(labelled, arguments.presidio)
    score_finder(labelled)
    score_rules(labelled)
    score_secrets(arguments.folder / "leaky_repo_secrets.jsonl.gz")
    measure_speed(labelled)
    measure_surrogates(labelled)
    measure_traffic(arguments.calls)


def redactor(*, full: bool) -> Redactor:
    """Make a redactor of either level."""
    return Redactor(KEY, open_recogniser("bundled") if full else None)


def score(labelled: Sequence[Labelled], presidio: str | None) -> None:
    """Print recall per type for both levels, and for Presidio's patterns where asked for."""
    texts = [text.text for text in labelled]
    outputs = {"rules": [redactor(full=False).redact(text).value for text in texts]}
    full = redactor(full=True)
    outputs["rules + recogniser"] = [full.redact(text).value for text in texts]
    if presidio:
        outputs["Presidio patterns"] = masked_by_presidio(presidio, texts)
    print(f"{'values gone (touched), type':30}{'n':>5}" + "".join(f"{name:>32}" for name in outputs))
    for kind in (*STRUCTURED, *NAMED, *REST):
        places = [
            (row, span) for row, text in enumerate(labelled) for span in text.spans if span.kind == kind
        ]
        if kind in NAMED[:-1] and kind != "ZIP_CODE":
            # "Suite 377" alone is labelled as an address too, and left by design.
            places = [(row, span) for row, span in places if telling(kind, texts[row][span.start : span.end])]
        if not places:
            continue
        line = f"{kind:30}{len(places):5}"
        for made in outputs.values():
            values = [(texts[row][span.start : span.end], made[row]) for row, span in places]
            gone = [not left(kind, value, text) for value, text in values]
            touched = sum(value not in text for value, text in values) / len(values)
            line += f"{share(gone, [labelled[row].group for row, _ in places]):>25} ({touched:.2f})"
        print(line)
    print()


def telling(kind: str, value: str) -> set[str]:
    """Return the identifying words of a value."""
    words = set(re.findall(r"[^\W\d_]{2,}|\d{5,}", value))
    stay = listed("generic") | listed("title") | listed("month")
    if kind in {"STREET_ADDRESS", "ADDRESS"}:
        words = {word for word in words if not re.fullmatch("[A-Z]{2,3}", word)}
    return {word for word in words if word.lower() not in stay and word not in common_words()}


def left(kind: str, value: str, text: str) -> bool:
    """Whether a value is still there: a name by one of its words, anything else as a whole."""
    words = telling(kind, value) if kind in NAMED else set()
    if not words:
        return value in text
    return not words.isdisjoint(re.findall(r"[^\W\d_]+|\d+", text))


def masked_by_presidio(python: str, texts: Sequence[str]) -> list[str]:
    """Return the texts with stars where Presidio's pattern recognisers found something."""
    asked = "\n".join(json.dumps(text) for text in texts)
    told = subprocess.run(
        [python, "-c", PRESIDIO], input=asked, capture_output=True, text=True, check=True
    ).stdout
    made = []
    for text, line in zip(texts, told.splitlines(), strict=True):
        for start, end, _ in json.loads(line):
            text = text[:start] + "*" * (end - start) + text[end:]  # noqa: PLW2901 - one edit after another
        made.append(text)
    return made


def share(hits: Sequence[bool], groups: Sequence[str]) -> str:
    """Return a share with its interval."""
    low, high = wilson(sum(hits), len(hits))
    by_group: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for hit, group in zip(hits, groups, strict=True):
        by_group[group][0] += hit
        by_group[group][1] += 1
    counts = np.array(list(by_group.values()), float)
    drawn = np.random.default_rng(0).integers(0, len(counts), (2000, len(counts)))
    rates = counts[drawn, 0].sum(axis=1) / counts[drawn, 1].sum(axis=1)
    low, high = min(low, np.quantile(rates, 0.025)), max(high, np.quantile(rates, 0.975))
    return f"{sum(hits) / len(hits):.3f} [{low:.2f}, {high:.2f}]"


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's interval at 95 %."""
    z = 1.959964
    rate, denominator = hits / count, 1 + z * z / count
    middle = (rate + z * z / (2 * count)) / denominator
    half = z * ((rate * (1 - rate) / count + z * z / (4 * count * count)) ** 0.5) / denominator
    return middle - half, middle + half


def score_finder(labelled: Sequence[Labelled]) -> None:
    """Print the recogniser alone, with kinds, and its precision."""
    finder = open_recogniser("bundled")
    assert finder is not None
    found = finder.find([text.text for text in labelled])
    print(
        f"{'recogniser alone, kind':30}{'n':>5}{'found whole':>26}{'and of this kind':>26}{'precision':>26}"
    )
    for kind in (*MASKED, "date", "age", "title"):
        places = [
            (row, span)
            for row, text in enumerate(labelled)
            for span in spans_of(
                (s.start, s.end, "TITLE" if s.kind == "PREFIX" else s.kind) for s in text.spans
            )
            if span.kind == kind or (kind == "address" and span.kind == "zip")
        ]
        groups = [labelled[row].group for row, _ in places]
        whole, same = [], []
        for row, span in places:
            at = [
                m.start()
                for m in re.finditer(r"\w+", labelled[row].text)
                if span.start <= m.start() < span.end
            ]
            hits = [[other for other in found[row] if other.start <= place < other.end] for place in at]
            whole.append(all(hits))
            same.append(all(hit and hit[0].kind == kind for hit in hits))
        right = [
            (any(s.start < span.end and span.start < s.end for s in text.spans), text.group)
            for text, spans in zip(labelled, found, strict=True) for span in spans if span.kind == kind
        ]  # fmt: skip
        precision = share([hit for hit, _ in right], [group for _, group in right]) if right else "-"
        if places:
            print(
                f"{kind:30}{len(places):5}{share(whole, groups):>26}{share(same, groups):>26}{precision:>26}"
            )
    print()


def score_rules(labelled: Sequence[Labelled]) -> None:
    """Print the precision of each rule that fired."""
    print(f"{'rule':30}{'masked':>6}{'precision':>26}")
    for name in dict.fromkeys(rule.name for rule in RULES):
        chain = Chain(Keyed(KEY), [rule for rule in RULES if rule.name == name])
        right = []
        for text in labelled:
            values = [text.text[span.start : span.end] for span in text.spans]
            right += [
                (any(value in other or other in value for other in values), text.group)
                for value in chain.apply(text.text).pairs
            ]
        if right:
            precision = share([hit for hit, _ in right], [group for _, group in right])
            print(f"{name:30}{len(right):6}{precision:>26}")
    print()


def score_secrets(path: Path) -> None:
    """Print recall on planted secrets in configuration files, and what else was masked there."""
    secrets: dict[str, list[str]] = json.loads((HERE / "leaky_secrets.json").read_text(encoding="utf-8"))
    made = redactor(full=False)
    gone, others = [], []
    for row in read_rows(path):
        text, values = row["text"], secrets.get(row["id"], [])
        after = made.redact(text).value
        pairs = Chain(Keyed(KEY)).apply(text).pairs
        for value in values:
            lines = value.split("\n")
            gone.append(all(after.count(line) < text.count(line) or line not in after for line in lines))
        if values:
            others += [
                found
                for found in pairs
                if "@" not in found and not any(found in value or value in found for value in values)
            ]
    files = [str(number) for number in range(len(gone))]
    print(f"secrets in configuration files  {len(gone):5}  gone {share(gone, files)}")
    print(f"masked there beside secrets and e-mail addresses: {len(others)} values\n")


def measure_speed(labelled: Sequence[Labelled]) -> None:
    """Print kilobytes per second of one core."""
    texts = [text.text for text in labelled]
    fresh = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    calls = list(rows_of("airline", 200))
    spoken, recorded = sum(map(len, texts)), sum(len(json.dumps(call)) for call in calls)
    print(f"{'KB/s, one core (best of 3)':44}{'rules':>10}{'rules + recogniser':>22}")
    speeds("short texts full of personal data, fresh", [spoken / best(full, fresh) for full in (False, True)])
    speeds("airline calls, fresh redactor", [recorded / best(full, calls) for full in (False, True)])
    warm = [redactor(full=full) for full in (False, True)]
    for made in warm:
        run(made, calls)
    seen = [min(timed(run, made, calls) for _ in range(3)) for made in warm]
    speeds("airline calls, seen before", [recorded / seconds for seconds in seen])
    alone = min(timed(Tagger(bundled_weights()).find, texts) for _ in range(3))
    print(f"{'the recogniser alone, fresh words':44}{spoken / alone / 1e3:>32,.0f}\n")


def speeds(name: str, bytes_per_second: Sequence[float]) -> None:
    """Print a row of speeds."""
    rules, full = (speed / 1e3 for speed in bytes_per_second)
    print(f"{name:44}{rules:>10,.0f}{full:>22,.0f}")


def best(full: bool, values: Sequence[Any]) -> float:  # noqa: FBT001 - a table's column
    """Return the least seconds that a fresh redactor takes."""
    return min(timed(run, redactor(full=full), values) for _ in range(3))


def run(made: Redactor, values: Sequence[Any]) -> None:
    """Redact everything."""
    for value in values:
        made.redact(value)


def timed(function: Callable[..., Any], *arguments: Any) -> float:
    """Return seconds of processor time."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def measure_surrogates(labelled: Sequence[Labelled]) -> None:
    """Print whether surrogates are consistent, distinct, and copies."""
    made: dict[str, set[str]] = collections.defaultdict(set)
    full = redactor(full=True)
    copies = broken = refused = 0
    for text in labelled:
        values = [text.text[span.start : span.end] for span in text.spans]
        call = {
            "messages": [{"role": "user", "content": text.text}],
            "response": {"arguments": json.dumps(values)},
        }
        try:
            masked = full.mask(call)
        except EngineError:
            refused += 1
            continue
        for value, surrogate in masked.pairs.items():
            made[value].add(surrogate)
        shown = json.loads(masked.value["response"]["arguments"])
        copies += len(values)
        broken += sum(value not in masked.value["messages"][0]["content"] for value in shown)
    several = sum(len(surrogates) > 1 for surrogates in made.values())
    by_surrogate = collections.Counter(surrogate for surrogates in made.values() for surrogate in surrogates)
    merged = sum(count for count in by_surrogate.values() if count > 1)
    print(f"surrogates of {len(made)} values: {several} with more than one, {merged} share theirs")
    print(f"copies in arguments: {copies}, of which broken: {broken}; texts refused: {refused}\n")


def rows_of(agent: str, count: int) -> Iterator[dict[str, Any]]:
    """Yield calls of one bundled agent, spread over its file."""
    path = next(path for path in traffic.files() if path.name.startswith(agent))
    rows = list(read_rows(path))
    for row in rows[:: max(1, len(rows) // count)][:count]:
        yield {"request": row["request"], "response": row["response"]}


def measure_traffic(count: int) -> None:
    """Print what masking does to the bundled agents' calls, and what it costs a specialist's call."""
    names = (
        "altered",
        "labels",
        "schemas",
        "tools",
        "copies",
        "broken",
        "refused",
        "skew",
        "own",
        "wrong",
        "tasks",
    )
    print(f"{'bundled traffic, full level':28}{'calls':>6}" + "".join(f"{name:>8}" for name in names)
          + f"{'CPU ms, p50/p99':>18}")  # fmt: skip
    for agent in ("home_assistant", "intent_router", "airline", "sql"):
        calls = list(rows_of(agent, count))
        tally, times = effects(calls)
        columns = {**tally, "tasks": agreement(calls)}
        low, high = (np.quantile(times, q) * 1e3 for q in (0.5, 0.99))
        print(f"{agent:28}{len(calls):6}" + "".join(f"{columns.get(name, 0):>8}" for name in names)
              + f"{low:>11.2f} /{high:5.1f}")  # fmt: skip
    print(LEGEND)


def agreement(calls: Sequence[dict[str, Any]]) -> str:
    """Return the adjusted Rand index of the tasks found in masked calls against those found in the calls."""
    made = redactor(full=True)
    found = []
    for bodies in (calls, [made.redact(call).value for call in calls]):
        read = [
            Call(str(n), float(n), str(n), "", body["request"], body["response"])
            for n, body in enumerate(bodies)
        ]
        assigned = discover(read).assignment
        found.append([assigned.get(call.id, call.id) for call in read])
    return f"{adjusted_rand_score(*found):.3f}"


def effects(calls: Sequence[dict[str, Any]]) -> tuple[collections.Counter[str], list[float]]:
    """Count what changes in calls."""
    made = redactor(full=True)
    tally: collections.Counter[str] = collections.Counter()
    times = []
    for call in calls:
        after = made.redact(call).value
        tally["altered"] += after != call
        request, answer, said = call["request"], answer_of(call["response"]), answer_of(after["response"])
        tally["schemas"] += any(
            after["request"].get(n) != request.get(n) for n in ("tools", "response_format")
        )
        started = time.process_time()
        try:
            masked = made.mask(request)
        except EngineError:
            tally["refused"] += 1
            continue
        if answer is None or said is None:
            continue
        back = [masked.restore(c.arguments) for c in said.tool_calls], masked.restore(said.text)
        times.append(time.process_time() - started)
        tally["skew"] += masked.value != after["request"]
        if back != ([c.arguments for c in answer.tool_calls], answer.text):
            own = made.mask(call["response"] | {"request": request}).pairs.keys() - masked.pairs.keys()
            tally["own" if own else "wrong"] += 1
        tally["labels"] += (
            "\n" not in answer.text and " " not in answer.text.strip() and said.text != answer.text
        )
        compare(
            tally, answer.tool_calls, said.tool_calls, (payload_of(request), payload_of(after["request"]))
        )
    return tally, times


def compare(tally: collections.Counter[str], before: Any, after: Any, payloads: tuple[str, str]) -> None:
    """Count changed names and keys of tool calls, and copies from the prompt that are none any more."""
    for old, new in zip(before, after, strict=True):
        tally["tools"] += old.name != new.name or list(old.arguments) != list(new.arguments)
        for value, surrogate in zip(old.arguments.values(), new.arguments.values(), strict=True):
            if isinstance(value, str) and value in payloads[0]:
                tally["copies"] += 1
                tally["broken"] += surrogate not in payloads[1]


if __name__ == "__main__":
    main()
