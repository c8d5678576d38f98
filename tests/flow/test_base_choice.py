"""The choice of a base by the calls of a task: two small bases made here, and the ways it can end."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click
import pytest
import torch
from transformers import AutoModelForCausalLM

from offramp.app import App, build
from offramp.app.base_choice import choose_base, render_outcome
from offramp.app.chosen import AUTO, chosen_base
from offramp.app.models import NANO, base_shape, bundled_base, catalogue_of
from offramp.cli import models
from offramp.config import Settings
from offramp.core.errors import BadInput, NotFound
from offramp.loop.pipeline import Stages, find_tasks
from offramp.select.catalogue import SOURCES
from offramp.testing.traffic import Agent, calls_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offramp.core.json import JsonObject


NOT_THERE = "/nowhere/not-there"
"""No model, and no name that a hub would be asked for."""


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """The bundled base with random weights: as large, and it has learned nothing."""
    folder = tmp_path / "spoilt"
    shutil.copytree(NANO, folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.02)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    return replace(made, train=replace(made.train, base=AUTO, epochs=6, models=str(tmp_path / "models.json")))


@pytest.fixture
def app(settings: Settings) -> Iterator[App]:
    made = build(settings)
    yield made
    made.close()


def describe(settings: Settings, *entries: JsonObject) -> None:
    """Write the file of models: the bundled base under other names."""
    sources = dict.fromkeys(SOURCES, "https://example.org")
    rows = [{**asdict(bundled_base()), "sources": sources, **entry} for entry in entries]
    with open(settings.train.models, "w", encoding="utf-8") as file:  # noqa: PTH123 - a name from the settings
        json.dump({"models": rows}, file)


def record(app: App, kind: str, calls: int = 160) -> None:
    agent = Agent()
    app.store.append(calls_of([getattr(agent, kind)() for _ in range(calls)]))


def test_the_base_that_learns_the_task_wins_and_stays(app: App, settings: Settings, spoilt: Path) -> None:
    # Ruled out before anything is trained: by its licence, and by its context.
    describe(
        settings,
        {"name": str(spoilt)},
        {"name": "acme/research-only", "licence": "cc-by-nc-4.0"},
        {"name": "acme/short", "context": 8},
        {"name": NOT_THERE},
    )
    record(app, "light")
    said: list[str] = []
    outcome = choose_base(app, find_tasks(app.store, Stages(), said.append), said.append)
    assert outcome is not None
    standings = {one.name: one for one in outcome.standings}
    assert outcome.winner == NANO
    assert standings[NANO].agreement > standings[str(spoilt)].agreement + 0.2
    assert standings[NOT_THERE].reason.startswith("failed: No causal language model")
    assert set(standings) == {NANO, str(spoilt), NOT_THERE}
    assert chosen_base(app.store) == NANO == app.settings.train.base == app.base_name
    assert list(settings.specialists_path.iterdir()) == []
    assert render_outcome(outcome).splitlines()[0] == f"Base: {NANO}"
    again = build(settings)
    assert again.base_name == NANO
    again.close()


def test_labels_need_no_base_and_the_bundled_one_stays(app: App, settings: Settings) -> None:
    describe(settings)
    record(app, "route")
    assert choose_base(app, find_tasks(app.store, Stages(), lambda _: None), lambda _: None) is None
    assert app.base_name == NANO


def test_where_no_base_can_be_loaded_each_failure_is_told(app: App, settings: Settings) -> None:
    describe(settings, {"name": NANO, "context": 8}, {"name": NOT_THERE})
    small = replace(settings, plan=replace(settings.plan, device="cpu-laptop"))
    app.settings = small
    record(app, "light")
    narrow = catalogue_of(small)
    assert narrow.models[NANO].context == 8
    with pytest.raises(BadInput, match=r"No base could be trained: .*not-there: failed"):
        choose_base(app, find_tasks(app.store, Stages(), lambda _: None), lambda _: None)


def test_before_a_base_is_chosen_the_error_says_how(app: App) -> None:
    with pytest.raises(NotFound, match="No base has been chosen yet") as caught:
        _ = app.base
    assert "offramp convert --base auto" in caught.value.hint


@pytest.mark.parametrize("base", ["Qwen/Qwen3-0.6B", "Qwen3-0.6B"])
def test_the_shape_of_a_hub_name_comes_from_the_catalogue(base: str) -> None:
    made = Settings()
    shape = base_shape(replace(made, train=replace(made.train, base=base)))
    assert shape is not None
    assert shape.layers == 28
    assert base_shape(replace(made, train=replace(made.train, base="acme/unheard-of"))) is None


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def command(*arguments: str) -> str:
        models.command.main(list(arguments), obj={"home": str(tmp_path / "home")}, standalone_mode=False)
        return capsys.readouterr().out

    return command


def test_models_are_listed_with_what_speaks_against_them(run: Callable[..., str]) -> None:
    lines = run("--device", "cpu-laptop").splitlines()
    assert "cpu-laptop, embedded engine" in lines[0]
    (nano,) = [line for line in lines if line.startswith("nano (bundled)")]
    assert nano.endswith("passes")
    (large,) = [line for line in lines if line.startswith("Qwen/Qwen3-8B")]
    assert "no: it needs" in large
    assert lines.index(nano) < lines.index(large)


def test_a_larger_device_lets_more_pass_and_a_server_runs_what_the_engine_does_not(
    run: Callable[..., str],
) -> None:
    passing = {
        device: {
            row["name"] for row in json.loads(run("--device", device, "--json"))["models"] if row["passes"]
        }
        for device in ("cpu-laptop", "h100")
    }
    assert passing["cpu-laptop"] < passing["h100"]
    served = json.loads(run("--device", "h100", "--engine", "server", "--json"))["models"]
    assert not any("embedded engine" in reason for row in served for reason in row["reasons"])


def test_a_task_says_what_it_needs_by_its_calls(settings: Settings, run: Callable[..., str]) -> None:
    app = build(settings)
    record(app, "light")
    find_tasks(app.store, Stages(), lambda _: None)
    (task,) = app.store.documents("task")
    app.close()
    found = json.loads(run("--task", task, "--json"))
    assert 24 < found["load"]["prompt"] <= found["load"]["context"] < 100
    with pytest.raises(NotFound, match="no task 'nowhere' among the 1"):
        run("--task", "nowhere")


def test_without_a_store_a_task_cannot_be_looked_up(run: Callable[..., str]) -> None:
    with pytest.raises(NotFound, match="no store yet"):
        run("--task", "t-1")
    with pytest.raises(NotFound, match="no device 'abacus'"):
        run("--device", "abacus")
    assert isinstance(models.command, click.Command)
