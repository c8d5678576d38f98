"""Model cards: what a directory of weights was made from, for people and for machines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.core.json import digest
from offramp.engine.bases import LINEAGE
from offramp.train.progress import WATTS_PER_THREAD, energy_wh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from offramp.core.json import JsonObject
    from offramp.core.model import Example
    from offramp.train.result import TrainResult

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from: the links from calls to what was trained on them.

    Attributes:
        train_calls: Hash of the sorted ids of the training calls; a dataset card has the same as the
            ``calls_hash`` of its part.
        validation_calls: The same of the validation calls.
        base: The base, as it was named.
        revision: Hash of the base's weights, or its commit on the hub.
    """

    train_calls: str
    validation_calls: str
    base: str
    revision: str

    @classmethod
    def of(
        cls, train: Sequence[Example], validation: Sequence[Example], base: Path | str, revision: str
    ) -> Origin:
        """Hash the ids of what was learned from."""
        hashes = [digest(sorted(example.call_id for example in part)) for part in (train, validation)]
        return cls(hashes[0], hashes[1], _name_of(base), revision)


def write_card(folder: Path, result: TrainResult, origin: Origin, options: Mapping[str, object]) -> None:
    """Write ``README.md`` and `LINEAGE` beside the weights in a folder."""
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    lineage: JsonObject = {
        "schema": SCHEMA,
        "calls": {"train": origin.train_calls, "validation": origin.validation_calls},
        "examples": result.lineage,
        "base": {"name": origin.base, "revision": origin.revision},
        "options": dict(options),
        "training": result.figures(),
        "files": files,
    }
    (folder / LINEAGE).write_text(json.dumps(lineage, indent=1), encoding="utf-8")
    (folder / "README.md").write_text(_readme(result, origin, options, files), encoding="utf-8")


def _readme(
    result: TrainResult, origin: Origin, options: Mapping[str, object], files: Mapping[str, str]
) -> str:
    library = "transformers" if result.method == "full" else "peft"
    losses = "\n".join(
        f"| {epoch} | {trained:.4f} | {validated:.4f} |"
        for epoch, (trained, validated) in enumerate(result.history, 1)
    )
    seeds = ", ".join(f"{seed}: {loss:.4f}" for seed, loss in result.seeds.items())
    notes = "".join(f"- {note}\n" for note in result.notes) or "- none\n"
    settings = ", ".join(f"{name} {value}" for name, value in options.items())
    hashes = "\n".join(f"- `{name}`: `{value}`" for name, value in files.items())
    return f"""\
---
library_name: {library}
base_model: {origin.base}
tags: [offramp, {result.method}]
---
# Specialist ({result.method})

It answers the one task it was trained on. It is no better than its certificate: do not serve it without one.

## From calls to weights

- Training calls (hash of their ids): `{origin.train_calls}`
- Validation calls (hash of their ids): `{origin.validation_calls}`
- Examples made from them (hash of ids, prompts and completions): `{result.lineage}`
- Examples used for training: {result.examples}; left out (not cut) as longer than the context: \
{result.left_out}
- Base: `{origin.base}`, revision `{origin.revision}`

## Training

- Method: {result.method}; loss on completion tokens only
- Options: {settings}
- Best validation loss by seed: {seeds}; kept: {result.seed}
- Tokens of answers with the teacher's log-probabilities: {result.told}, of which {result.mapped} \
could be mapped onto the base's tokens
- {result.epochs} epochs, {result.steps} steps, {result.tokens:,} tokens
- {result.cpu_seconds:.0f} CPU seconds, about {energy_wh(result.cpu_seconds):.2f} Wh \
(an estimate: {WATTS_PER_THREAD:.0f} W for a busy thread)

| epoch | training loss | validation loss |
|---|---|---|
{losses}

Losses are in nats per completion token. What happened besides:

{notes}
## Files (SHA-256)

{hashes}
"""


def _name_of(base: Path | str) -> str:
    """Name a base without the path of the machine it was on."""
    folder = Path(base)
    return folder.name if folder.is_dir() else str(base)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
