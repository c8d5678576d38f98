"""`offramp simulate` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offramp.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples/simulate"
PLACEMENT = str(EXAMPLES / "placement.json")
TRACE = EXAMPLES / "azure2023_conv_500.csv"


def test_the_bundled_trace_runs_through_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Every call is answered or counted as refused, and twice the same run is the same run."""
    arguments = ["simulate", PLACEMENT, "--stream", f"triage={TRACE}@10", "--load", "4", "--json"]
    main(arguments)
    first = json.loads(capsys.readouterr().out)
    main(arguments)
    assert json.loads(capsys.readouterr().out) == first
    assert first["classes"][0]["requests"] == 500
    assert 0 < first["classes"][0]["p50_s"] <= first["classes"][0]["p99_s"]


def test_the_table_names_the_class_and_the_money(capsys: pytest.CaptureFixture[str]) -> None:
    main(["simulate", PLACEMENT, "--stream", f"triage={TRACE}@10"])
    shown = capsys.readouterr().out
    assert "triage" in shown
    assert "USD per 1,000 calls" in shown


def test_a_stream_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", PLACEMENT, "--stream", "triage"])
    assert "MODEL=TRACE@SECONDS" in capsys.readouterr().err
