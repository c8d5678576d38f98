"""What the recogniser is taught with: labelled texts, and more of the same made from them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from importlib import resources
from pathlib import Path
from pydoc_data import topics as pydoc_topics
from typing import TYPE_CHECKING, Any

from offramp.redact.corpus import Labelled, read_rows
from offramp.redact.features import TOKEN, is_caseless
from offramp.redact.recogniser import ADDRESS, AGE, DATE, ORGANISATION, PERSON, PLACE, TITLE, Span
from offramp.redact.tagger import LABELS
from offramp.redact.words import membership, sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KIND_OF = {
    "PERSON": PERSON,
    "GPE": PLACE,
    "LOCATION": PLACE,
    "ADDRESS": ADDRESS,
    "STREET_ADDRESS": ADDRESS,
    "ZIP_CODE": ADDRESS,
    "ORGANIZATION": ORGANISATION,
    "DATE_TIME": DATE,
    "AGE": AGE,
    "TITLE": TITLE,
    "PREFIX": TITLE,
    "NRP": "",
}
"""Kinds of the labels, "" for none; tokens under any other label (cards, phones: the rules' business) teach
nothing."""

_ARGUMENTS = {"person": PERSON, "place_name": PLACE, "business_name": ORGANISATION}
_UNCLEAR = ("artist_name", "audiobook_author", "transport_agency", "media_type", "app_name", "relation",
            "radio_name", "podcast_name", "playlist_name", "song_name", "audiobook_name",
            "time_zone")  # fmt: skip
IGNORED = -1
SEED = 7
_PLAIN = 6_000
_FILLED = 12
_COMMON = 2


def label_at(spans: Sequence[Span], place: int) -> int:
    """Return the index of the label at a place of a text; IGNORED for what teaches nothing."""
    for span in spans:
        if span.start <= place < span.end:
            kind = KIND_OF.get(span.kind, span.kind)
            return LABELS.index(kind) if kind in LABELS else IGNORED  # "" is the first label
    return 0


def read_utterances() -> list[Labelled]:
    """Read the home assistant's utterances; a value stands where its words stand in the utterance."""
    path = resources.files("offramp.assets") / "traffic" / "home_assistant.jsonl.gz"
    found: dict[str, Labelled] = {}
    for row in read_rows(Path(str(path))):
        text = row["request"]["messages"][-1]["content"]
        calls = row["response"]["choices"][0]["message"].get("tool_calls") or []
        spans = [span for call in calls for span in _copied(text, json.loads(call["function"]["arguments"]))]
        found[text] = Labelled(text, tuple(sorted(spans)), text)
    return list(found.values())


def read_plain() -> list[Labelled]:
    """Read sentences of the bundled traffic in which no listed name or place stands."""
    names = {word for word, letters in membership().items() if set(letters) & set("fmlcor")}
    found = sentences_of(("airline", "intent_router"))
    plain = [sentence for sentence in found if names.isdisjoint(re.findall(r"[a-z]+", sentence.lower()))]
    return [Labelled(sentence, (), sentence) for sentence in plain[:_PLAIN]]


def sentences_of(agents: Sequence[str]) -> list[str]:
    """Return the distinct sentences that people and models say in the bundled traffic."""
    sentences: dict[str, None] = {}
    for name in agents:
        path = resources.files("offramp.assets") / "traffic" / f"{name}.jsonl.gz"
        for row in read_rows(Path(str(path))):
            for message in row["request"]["messages"]:
                if message["role"] != "tool":
                    said = re.split(r"(?<=[.?!])\s+|\n", str(message.get("content") or ""))
                    sentences.update(dict.fromkeys(said))
    return list(sentences)


def ordinary_words(texts: Sequence[Labelled]) -> list[str]:
    """Return words that stand in lower case outside all labels, where capitals are used.

    Sources are the labelled texts, the bundled conversations, and the documentation within Python itself.
    """
    seen: Counter[str] = Counter()
    for text in {text.text: text for text in texts}.values():
        if not is_caseless(text.text):
            spans, places = text.spans, TOKEN.finditer(text.text)
            seen.update(
                {m.group() for m in places if m.group().islower() and label_at(spans, m.start()) == 0}
            )
    for sentence in sentences_of(("airline", "sql")):
        seen.update(set(re.findall(r"\b[a-z]{2,}\b", sentence)))
    for topic in pydoc_topics.topics.values():
        seen.update(dict.fromkeys(re.findall(r"\b[a-z]{3,}\b", topic), _COMMON))
    return sorted(
        word for word, times in seen.items() if times >= _COMMON and len(word) > 1 and word.isascii()
    )


def _copied(text: str, arguments: dict[str, Any]) -> Iterator[Span]:
    for name, value in arguments.items():
        kind = _ARGUMENTS.get(name) or ("unclear" if name in _UNCLEAR else None)
        for part in str(value).split(", ") if kind else ():
            start = f" {text} ".find(f" {part} ")
            if start < 0:
                continue
            # "the airport", "downtown": places of a conversation, but no names.
            known = kind != PLACE or any(word in membership() for word in part.split())
            yield Span(start, start + len(part), kind if kind and known else "unclear")


def shuffled_values(texts: Sequence[Labelled], copies: int) -> list[Labelled]:
    """Return the texts, and copies whose labelled values are those of other texts and of the word lists.

    So a template teaches its form, and not the values it happened to come with.
    """
    rng = random.Random(SEED)  # noqa: S311 - a reproducible draw, nothing secret
    values: dict[str, list[str]] = {}
    for text in texts:
        for span in text.spans:
            values.setdefault(span.kind, []).append(text.text[span.start : span.end])
    result = list(texts)
    for copy in range(copies):
        result += [_refilled(text, values, rng, lower=copy == 0) for text in texts]
    return result


_SLOTS = {
    "person": ("PERSON", "{first} {last}"),
    "place": ("GPE", "{city}"),
    "country": ("GPE", "{country}"),
    "org": ("ORGANIZATION", ""),
    "address": ("STREET_ADDRESS", ""),
    "zip": ("ZIP_CODE", ""),
    "age": ("AGE", ""),
    "date": ("DATE_TIME", ""),
    "title": ("TITLE", ""),
    "first": ("PERSON", "{first}"),
    "last": ("PERSON", "{last}"),
}


def from_templates(texts: Sequence[Labelled]) -> list[Labelled]:
    """Fill our own templates with values of the labelled texts and of the word lists."""
    rng = random.Random(SEED)  # noqa: S311 - as above
    values: dict[str, list[str]] = {}
    for text in texts:
        for span in text.spans:
            values.setdefault(span.kind, []).append(text.text[span.start : span.end])
    path = resources.files("offramp.assets") / "recogniser" / "templates.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [
        _filled(line.replace("\\n", "\n"), values, rng, lower=copy % 4 == 3)
        for line in lines
        for copy in range(_FILLED)
    ]


def _filled(line: str, values: dict[str, list[str]], rng: random.Random, *, lower: bool) -> Labelled:
    text = ""
    spans = []
    for part in re.split(r"(\{\w+\})", line):
        if part[:1] != "{":
            text += part
            continue
        kind, form = _SLOTS[part[1:-1]]
        value = _listed(form, rng) if form and rng.random() < 0.6 else rng.choice(values[kind])
        if part in ("{first}", "{last}"):
            value = value.split()[0 if part == "{first}" else -1]
        spans.append(Span(len(text), len(text) + len(value), kind))
        text += value
    return Labelled(_lower(text) if lower else text, tuple(spans), line)


def _listed(form: str, rng: random.Random) -> str:
    lists = sections()
    first = rng.choice(lists[rng.choice(("female", "male"))])
    chosen = {"first": first, **{name: rng.choice(lists[name]) for name in ("last", "city", "country")}}
    return form.format(**chosen).title()


def _refilled(text: Labelled, values: dict[str, list[str]], rng: random.Random, *, lower: bool) -> Labelled:
    parts: list[str] = []
    spans = []
    at = length = 0
    for span in text.spans:
        if span.start < at:
            continue
        value = _value(span.kind, values, rng)
        before = text.text[at : span.start]
        parts += (before, value)
        length += len(before)
        spans.append(Span(length, length + len(value), span.kind))
        length += len(value)
        at = span.end
    made = "".join((*parts, text.text[at:]))
    return Labelled(_lower(made) if lower else made, tuple(spans), text.group)


def _lower(text: str) -> str:
    """Lower-case without changing the length (a dotted capital I has a lower case of two characters)."""
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def _value(kind: str, values: dict[str, list[str]], rng: random.Random) -> str:
    own = rng.choice(values[kind])
    if rng.random() < 0.5:
        return own
    if kind == "PERSON":
        return _listed(rng.choice(("{first}", "{last}", "{first} {last}", "{first} {last}")), rng)
    if kind in ("GPE", "LOCATION"):
        return _listed(rng.choice(("{city}", "{city}", "{country}")), rng)
    return own
