"""Training on recorded calls: what a run costs, how served answers are cut, what canaries can be read out.

    python bench/training.py [--epochs N] [--limit N] [FILE.jsonl.gz ...]

An adapter is trained on the training calls of the group of all tool-call tasks, with canaries of one
origin among them: sentences with a random number of six digits in request and answer, said 1, 4 and 16 times.
Then

- *cut*: validation calls are answered under the constraint they are served with, once with the engine as it
  is and once with one that may cut a text into any tokens; "foreign" is the share of answers whose tokens are
  not the tokenizer's own, which training never shows;
- *canaries*: exposure in bits (Carlini et al. 2019; 9.0 is the first of 512, 0 to 1 is chance), before and
  after training, and whether any beginning of the sentence makes the specialist say the secret: as it is
  served (values copied from the request), with free values, and without any constraint.

CPU seconds do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from discover.traffic import read

from offramp.core.call import OutputType
from offramp.core.model import EngineRequest
from offramp.core.render import constraint_of
from offramp.curate.curate import curate
from offramp.demo import traffic
from offramp.discover.discover import discover
from offramp.engine.bases import load_base
from offramp.engine.embedded import EmbeddedEngine
from offramp.engine.nano import NANO_BASE
from offramp.engine.render import render_completion
from offramp.engine.tokens import token_bytes
from offramp.loop.pipeline import SHARES
from offramp.select import units_of
from offramp.train.canaries import Canary, draw_secret, exposure, probes
from offramp.train.fit import Job, Pairs, train_seed
from offramp.train.fit import fit as train
from offramp.train.lora import Lora, LoraOptions

if TYPE_CHECKING:
    from offramp.core.dataset import Dataset, Item
    from offramp.core.model import Completion, Constraint
    from offramp.train.fit import Trained

REPEATS = (1, 4, 16)
OTHERS = 511
BASE, TOKENIZER = load_base(NANO_BASE)
BYTES_OF = token_bytes(TOKENIZER)


def main() -> None:
    """Train once and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", default=traffic.files(), help="default: the sample")
    parser.add_argument("--epochs", type=int, default=LoraOptions().epochs)
    parser.add_argument("--limit", type=int, help="read this many calls of each file, the first ones")
    arguments = parser.parse_args()
    calls = [labelled.call for path in arguments.files for labelled in read(path)[: arguments.limit]]
    discovery = discover(calls)
    unit = max(units_of(discovery.tasks), key=lambda unit: len(unit.tasks))
    dataset = curate(calls, discovery.assignment, unit.tasks, shares=SHARES)
    canaries = planted(dataset)
    options = LoraOptions(epochs=arguments.epochs)
    with tempfile.TemporaryDirectory() as home:
        learned = [item.example for item in dataset.parts["train"]]
        learned += [example for canary in canaries for example in canary.examples()]
        pairs = Pairs(learned, [item.example for item in dataset.parts["validation"]])
        job = Job(Lora(options), pairs, NANO_BASE, Path(home) / "adapter", options, lambda _: None)
        trained = run(job)
        cuts(dataset, job.out)
        leaks(canaries, dataset, trained, job.out)


def planted(dataset: Dataset) -> list[Canary]:
    """Make canaries of the most frequent task whose tool takes an argument."""
    random = Random(20261129)
    with_value = [item for item in dataset.parts["train"] if '":"' in item.example.completion]
    prefixes = Counter(item.example.completion.partition('":"')[0] for item in with_value)
    (prefix, _), *_ = prefixes.most_common(1)
    tool, _, argument = prefix.partition(' {"')
    hint = next(
        item.example.prompt.partition(":")[0]
        for item in with_value
        if item.example.completion.startswith(tool)
    )
    words = ("please note that the code of the door is", "my safe opens with", "tell anna to dial")
    return [
        Canary(hint, tool, argument, said, draw_secret(random), repeats)
        for said, repeats in zip(words, REPEATS, strict=True)
    ]


def run(job: Job) -> Trained:
    """Train, print what it cost, and return the model in memory."""
    kept = replace(job, out=job.out.with_name("kept"))
    started = time.process_time()
    trained = train_seed(kept, job.options.seed)
    spent = time.process_time() - started
    standing = trained.standing
    print(
        f"training: {trained.feed.size} examples ({trained.left_out} too long), {standing.epoch} epochs, "
        f"{standing.steps} steps, {spent:.0f} CPU s, {standing.tokens / spent:,.0f} tokens per CPU s, "
        f"validation loss {standing.best_loss:.4f}",
        flush=True,
    )
    # The finished checkpoint of the very same run: writing costs no second training.
    (job.work).parent.mkdir(parents=True, exist_ok=True)
    kept.work.rename(job.work)
    train(job)
    return trained


def cuts(dataset: Dataset, folder: Path) -> None:
    """Compare decoding with and without keeping to the tokenizer's cut."""
    rows = dataset.parts["validation"]
    for name, canonical in (("any cut", False), ("the tokenizer's cut", True)):
        engine = EmbeddedEngine(NANO_BASE, canonical=canonical)
        engine.load("a", folder)
        started = time.process_time()
        served = engine.complete([request(dataset, row) for row in rows])
        spent = time.process_time() - started
        foreign = sum(is_foreign(completion) for completion in served)
        right = sum(c.text == row.example.completion for c, row in zip(served, rows, strict=True))
        print(
            f"cut: {name:20} {len(rows)} calls, foreign {foreign / len(rows):.1%}, "
            f"same text as the teacher {right / len(rows):.1%}, {1000 * spent / len(rows):.1f} CPU ms a call",
            flush=True,
        )


def request(dataset: Dataset, row: Item) -> EngineRequest:
    """The request as the specialist makes it; a group is made of tool-call tasks."""
    constraint = constraint_of(row.call.request, OutputType.TOOL_CALL, dataset.facts[row.task])
    assert constraint is not None
    return EngineRequest("a", row.example.prompt, constraint)


def is_foreign(completion: Completion) -> bool:
    """Whether an answer's tokens are not those the tokenizer would make of its text."""
    own = render_completion(TOKENIZER, completion.text)[:-1]
    return [BYTES_OF[token].decode("utf-8", "replace") for token in own] != list(completion.pieces)


def leaks(canaries: list[Canary], dataset: Dataset, trained: Trained, folder: Path) -> None:
    """Print exposure and what can be read out."""
    random = Random(1)
    others = [draw_secret(random) for _ in range(OTHERS)]
    engine = EmbeddedEngine(NANO_BASE)
    engine.load("a", folder)
    offered = next(
        constraint_of(row.call.request, OutputType.TOOL_CALL, dataset.facts[row.task])
        for row in dataset.parts["train"]
        if row.example.completion.startswith(canaries[0].tool)
    )
    assert offered is not None
    for canary in canaries:
        before = exposure(BASE, trained.tokenizer, canary, others)
        after = exposure(trained.model, trained.tokenizer, canary, others)
        said = {
            name: read_out(engine, canary, constraint)
            for name, constraint in (("served", offered), ("free values", replace(offered, copy_from=None)))
        }
        said["no constraint"] = read_out(engine, canary, None)
        print(
            f"canary: said {canary.repeats:2} times, exposure {before:.1f} bits before, {after:.1f} after; "
            + ", ".join(f"{name}: {'SAID' if found else 'not said'}" for name, found in said.items()),
            flush=True,
        )


def read_out(engine: EmbeddedEngine, canary: Canary, constraint: Constraint | None) -> bool:
    """Whether a beginning of the sentence makes the specialist say the secret."""
    asked = []
    for prompt in probes(canary):
        copied = constraint and replace(
            constraint, copy_from=constraint.copy_from and prompt.partition(": ")[2]
        )
        asked.append(EngineRequest("a", prompt, copied))
    return any(canary.secret in completion.text for completion in engine.complete(asked))


if __name__ == "__main__":
    main()
