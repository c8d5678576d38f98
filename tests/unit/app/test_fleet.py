from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.plan.fleets import A100, BASE, SHORT

from offramp.app.fleet import INTERFERENCE, Question, make_fleet_plan, read_table, sharing_of, speeds_of
from offramp.config import Settings
from offramp.core.errors import BadInput, NotFound
from offramp.enforce.throughput import Profile, Step, add_profile
from offramp.plan.fleet import Sharing
from offramp.plan.load import Group, Member
from offramp.plan.sizing import modelled

EXAMPLES = Path(__file__).parents[3] / "examples/plan"


def question(fleet: str = "fleet.toml") -> Question:
    return Question(str(EXAMPLES / fleet), EXAMPLES / "demand.json")


def test_the_example_is_planned(tmp_path: Path) -> None:
    found = make_fleet_plan(question(), Settings(home=tmp_path))
    assert found.placement.devices
    assert found.devices_usd + found.llm_usd < found.llm_only_usd


def test_an_llm_described_in_the_fleet_file_gets_a_reserve(tmp_path: Path) -> None:
    found = make_fleet_plan(question("fleet-llm.toml"), Settings(home=tmp_path))
    assert found.placement.reserve is not None


def test_any_fleet_is_every_gpu(tmp_path: Path) -> None:
    asked = replace(question(), fleet="any")
    assert make_fleet_plan(asked, Settings(home=tmp_path)).placement.devices


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("mps", Sharing(INTERFERENCE, shares=True)),
        ("plain", Sharing(1.0, shares=False)),
        ("mig", Sharing(1.0, shares=True, bandwidth=True, profiles=True)),
    ],
)
def test_sharing_follows_from_what_backends_guarantee(backend: str, expected: Sharing) -> None:
    assert sharing_of(backend, "h100", None) == expected


def test_a_probe_takes_a_guarantee_away(tmp_path: Path) -> None:
    """MPS that was measured not to hold shares apart is planned with engines taking turns."""
    file = tmp_path / "isolation.json"
    row = {"neighbour": "compute", "slowdown": 2.0, "tail": 2.0, "share": 0.5, "spread": 1.0}
    measurement = {"backend": "mps", "device": "h100", "at": 0.0, "rows": [row]}
    file.write_text(json.dumps({"measurements": [measurement]}))
    assert not sharing_of("mps", "h100", file).shares
    assert sharing_of("mps", "l4", file).shares


def profile(model: str) -> Profile:
    steps = (Step(1, 0.010, 100.0, 0.1), Step(8, 0.010, 800.0, 0.1), Step(32, 0.032, 1000.0, 0.1))
    return Profile(model, "a100-80gb", 20_000.0, 0.01, steps, 1024, 64, 0.0)


def test_measured_speeds_go_before_the_roofline(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    add_profile(file, profile("s"))
    group = Group("g", BASE, BASE.name, (Member("t", "s", 16, (1.0,), SHORT, 5.0),))
    found = speeds_of(file)(group, A100)
    assert (found.weights_s, found.prompt_s, found.token_s) == (0.010, 1 / 20_000, 0.001)
    assert found.slowdown == 1.0
    assert found.kv_s == modelled(group, A100).kv_s


def test_a_measured_base_still_pays_for_adapters(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    add_profile(file, profile(BASE.name))
    group = Group("g", BASE, BASE.name, (Member("t", "other", 16, (1.0,), SHORT, 5.0),))
    assert speeds_of(file)(group, A100).slowdown == modelled(group, A100).slowdown > 1.0


def test_what_was_not_measured_is_modelled(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    add_profile(file, profile("s"))
    members = (Member("t", "other", 16, (1.0,), SHORT, 5.0),)
    group = Group("g", BASE, "other", members)
    assert speeds_of(file)(group, A100) == modelled(group, A100)
    spread = Group("g", BASE, BASE.name, (Member("t", "s", 0, (1.0,), SHORT, 5.0),), parallel=2)
    assert speeds_of(file)(spread, A100) == modelled(spread, A100)


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.toml", "a ="), ("b.json", "[]")])
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput):
        read_table(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        read_table(tmp_path / "none.toml")
