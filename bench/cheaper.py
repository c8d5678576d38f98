"""A cheaper model at the same provider in the teacher's place, on recorded answers of both.

    python bench/cheaper.py zeroeval_multimodel.jsonl.gz

The file holds the same questions answered by several models (``request``, ``response``, ``subtask``; the
form of ZeroEval: JSON with a ``reasoning`` and an ``answer``). Compared is the answer alone, as a label.
For each kind of question and each pair of teacher and cheaper model: how often they agree, and the share
of the questions that the cheaper one could be certified for at alpha 5 and 10 %, with confidence from the
length of its answer alone, and with a second opinion. The records hold one answer of each model at
temperature 0 and no log-probabilities; so the second opinion is that of another small model, where the
product asks the same one twice. Prices are list prices for the recorded texts at four characters a token;
the second opinion is not in them.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offramp.certify.agreement import agree
from offramp.core.call import Answer, OutputType, answer_of
from offramp.core.errors import NotFound
from offramp.engine.cheaper_specialist import CheaperSpecialist
from offramp.engine.specialist import Card, TaskCard, TaskRequest
from offramp.loop.score import Scores, columns, held_out_confidence
from offramp.plan.prices import load_prices
from offramp.select import expected_coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.errors import OfframpError
    from offramp.core.json import JsonObject

DELTA = 0.1
ALPHAS = (0.05, 0.10)
TEACHERS = ("gpt-4o", "claude-3-5-sonnet")
CHARACTERS_PER_TOKEN = 4

Answers = dict[str, dict[str, "Row"]]
"""Rows by model, by the text of the question."""


class Row:
    """One recorded call: the question as it was sent, and the answer cut down to its ``answer``."""

    def __init__(self, raw: JsonObject) -> None:
        self.request: JsonObject = raw["request"]
        said = answer_of(raw["response"])
        text = said.text if said is not None else ""
        self.tokens = (len(json.dumps(self.request["messages"])), len(text))
        self.answer = final(text)
        self.question = json.dumps(self.request["messages"])


class Recorded:
    """A provider of recorded answers: the cheaper model's, and another one's where a draw is asked for."""

    def __init__(self, first: dict[str, Row], second: dict[str, Row] | None) -> None:
        self._first, self._second = first, second

    def ask(self, requests: Sequence[JsonObject]) -> list[JsonObject | OfframpError]:
        """See `offramp.engine.chat.Chat`."""
        return [self._reply(request) for request in requests]

    def _reply(self, request: JsonObject) -> JsonObject:
        rows = self._first if request["temperature"] == 0 else self._second
        row = rows.get(json.dumps(request["messages"])) if rows is not None else None
        message = {"role": "assistant", "content": row.answer if row is not None else ""}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def main() -> None:
    """Print one line for each kind of question and pair of models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?")
    path = parser.parse_args().file
    if path is None:
        print("bench/cheaper.py needs a file of recorded answers of several models, which is not bundled.")
        return
    kinds: dict[str, Answers] = defaultdict(lambda: defaultdict(dict))
    with gzip.open(path, "rt") as file:
        for line in file:
            raw = json.loads(line)
            row = Row(raw)
            kinds[raw["subtask"]][raw["request"]["model"]][row.question] = row
    print(
        f"{'questions':14} {'teacher':26} {'cheaper':28} {'n':>5} {'agree':>6} "
        f"{'length':>11} {'+ opinion':>11} {'price':>6}"
    )
    for kind, models in sorted(kinds.items()):
        small = [name for name in models if is_small(name)]
        for teacher in (name for name in models if name not in small):
            for cheaper in small:
                compare(kind, models, (teacher, cheaper, next(name for name in small if name != cheaper)))


def is_small(model: str) -> bool:
    """Whether a model is none of the teachers."""
    return "mini" in model or not model.startswith(TEACHERS)


def compare(kind: str, models: Answers, names: tuple[str, str, str]) -> None:
    """Print one line for teacher, cheaper model, and who gives the second opinion."""
    teacher, cheaper, third = names
    rows = [row for row in models[teacher].values() if row.question in models[cheaper] and row.answer]
    if not rows:
        return
    alone = measured(rows, Recorded(models[cheaper], None))
    seconded = measured(rows, Recorded(models[cheaper], models[third]))
    agreement = 1.0 - alone.loss.mean()
    print(
        f"{kind:14} {teacher:26} {cheaper:28} {len(rows):5} {100 * agreement:6.1f} "
        f"{covered(alone):>11} {covered(seconded):>11} {price(models, teacher, cheaper):>6}"
    )


def measured(rows: Sequence[Row], chat: Recorded) -> Scores:
    """Ask the specialist about every question, and compare."""
    card = Card("cheaper-0", "cheaper", {"t": TaskCard("", OutputType.LABEL)}, "recorded")
    considered = CheaperSpecialist(card, chat).consider([TaskRequest("t", row.request) for row in rows])
    loss = [
        0.0 if seen.answer is not None and agree(OutputType.LABEL, seen.answer, Answer(row.answer)) else 1.0
        for seen, row in zip(considered, rows, strict=True)
    ]
    return Scores(*columns(considered), np.array(loss))


def covered(scores: Scores) -> str:
    """Return the expected coverage at each alpha, with confidences held out by question."""
    confidence = held_out_confidence(scores, [str(row) for row in range(len(scores))])
    shares = [expected_coverage(confidence, scores.loss, alpha, DELTA) for alpha in ALPHAS]
    return " / ".join(f"{100 * share:.0f}" for share in shares)


def price(models: Answers, teacher: str, cheaper: str) -> str:
    """Return the cheaper model's price as a share of the teacher's, "" where one of them has none."""
    prices = load_prices()
    try:
        theirs, ours = (
            sum(
                prices.price(name).call(
                    input_tokens=row.tokens[0] / CHARACTERS_PER_TOKEN,
                    output_tokens=row.tokens[1] / CHARACTERS_PER_TOKEN,
                )
                for row in models[name].values()
            )
            / len(models[name])
            for name in (teacher, cheaper)
        )
    except NotFound:
        return ""
    return f"{100 * ours / theirs:.0f} %"


def final(text: str) -> str:
    """Return the ``answer`` of ZeroEval's JSON, "" where there is none."""
    body = text.strip().removeprefix("```json").removesuffix("```")
    try:
        value = json.loads(body, strict=False)
    except ValueError:
        return ""
    answer = value.get("answer") if isinstance(value, dict) else None
    return " ".join(str(answer).split())[:64] if answer is not None else ""


if __name__ == "__main__":
    main()
