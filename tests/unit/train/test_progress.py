from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.cli.options import event_lines
from offramp.train.progress import WATTS_PER_THREAD, Progress, energy_wh

if TYPE_CHECKING:
    from pathlib import Path

SEEN = Progress(
    step=30,
    steps=120,
    epoch=2,
    epochs=5,
    loss=0.3124,
    validation_loss=None,
    eta_seconds=41.2,
    tokens_per_second=3512.4,
    cpu_seconds=360.0,
)


def test_a_line_says_where_it_stands_and_what_it_costs() -> None:
    assert SEEN.line() == (
        "step 30/120, epoch 2/5, loss 0.312, 3,512 tokens/s, 360 CPU s, about 1.00 Wh, 41 s to go"
    )
    assert "loss 0.312 (validation 0.250)" in replace(SEEN, validation_loss=0.25).line()


def test_a_note_stands_alone() -> None:
    assert replace(SEEN, note="taken up again at step 30").line() == "taken up again at step 30"


def test_energy_is_assumed_power_times_time() -> None:
    assert energy_wh(3600.0) == WATTS_PER_THREAD


def test_events_are_appended_as_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    append = event_lines(file)
    assert append is not None
    append(SEEN.to_dict())
    append(replace(SEEN, step=40).to_dict())
    first, second = map(json.loads, file.read_text().splitlines())
    assert (first["event"], first["step"], second["step"], first["energy_wh"]) == ("training", 30, 40, 1.0)


def test_no_file_no_events() -> None:
    assert event_lines(None) is None
