"""`offramp plan --fleet` as a user runs it, and what others make of its placement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offramp.cli import main

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "examples/plan"
TRACE = ROOT / "examples/simulate/azure2023_conv_500.csv"
ARGUMENTS = ["plan", "--fleet", str(PLAN / "fleet.toml"), "--demand", str(PLAN / "demand.json")]


def test_a_plan_is_printed_written_emitted_and_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main([*ARGUMENTS, "--out", str(out)])
    shown = capsys.readouterr().out
    assert "What binds:" in shown
    assert "KV demand exceeds its budget with probability" in shown
    assert (out / "plan.svg").read_text().startswith("<svg")
    placement = json.loads((out / "placement.json").read_text())
    specialist = placement["engines"][0]["adapters"][0]["specialist"]
    main(
        [
            "enforce",
            "emit",
            str(out / "placement.json"),
            "--backend",
            "mps",
            "--adapters",
            "/adapters",
            "--out",
            str(tmp_path / "emitted"),
        ]
    )
    assert specialist in "".join(file.read_text() for file in (tmp_path / "emitted").iterdir())
    capsys.readouterr()
    main(["simulate", str(out / "placement.json"), "--stream", f"{specialist}={TRACE}@10", "--json"])
    assert json.loads(capsys.readouterr().out)["classes"][0]["requests"] == 500


def test_the_json_of_a_plan_is_a_placement_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*ARGUMENTS, "--json"])
    text = capsys.readouterr().out
    plan = json.loads(text)
    assert {one["task"] for one in plan["tasks"]} >= {"triage", "extract"}
    (tmp_path / "plan.json").write_text(text)
    main(["simulate", str(tmp_path / "plan.json"), "--stream", f"triage-4b={TRACE}@10", "--json"])
    assert json.loads(capsys.readouterr().out)["price_per_hour"] == plan["placement"]["price_per_hour"]


def test_the_reserve_of_an_llm_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "--fleet", str(PLAN / "fleet-llm.toml"), "--demand", str(PLAN / "demand.json")])
    assert "Reserve for the LLM:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--demand", "d.json"], "name it with --fleet"),
        (["plan", "--fleet", "none.toml", "--demand", "d.json"], "There is no file none.toml"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


def test_the_same_demand_again_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main([*ARGUMENTS, "--out", str(out)])
    capsys.readouterr()
    main([*ARGUMENTS, "--from", str(out / "placement.json"), "--json"])
    again = json.loads(capsys.readouterr().out)
    assert again["moves"] == []
    assert again["placement"] == json.loads((out / "placement.json").read_text())


def test_a_fleet_without_the_present_devices_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*ARGUMENTS, "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        main(
            [
                "plan",
                "--fleet",
                str(PLAN / "fleet-llm.toml"),
                *ARGUMENTS[3:],
                "--from",
                str(tmp_path / "placement.json"),
            ]
        )
    assert "The fleet has no device" in capsys.readouterr().err


def test_moves_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*ARGUMENTS, "--out", str(tmp_path)])
    demand = json.loads((PLAN / "demand.json").read_text())
    demand["tasks"] = [one for one in demand["tasks"] if one["task"] != "guard"]
    (tmp_path / "demand.json").write_text(json.dumps(demand))
    main(
        [
            "plan",
            "--fleet",
            str(PLAN / "fleet.toml"),
            "--demand",
            str(tmp_path / "demand.json"),
            "--from",
            str(tmp_path / "placement.json"),
        ]
    )
    assert "To do: stop qwen3-0.6b.0" in capsys.readouterr().out
