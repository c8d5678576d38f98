"""Which parts an installation gets, by its settings."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from offramp.app import build
from offramp.config import RecordSettings, Settings, load
from offramp.core.askers import MIN_ORIGINS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from offramp.core.json import JsonObject

MESSAGE = {"messages": [{"role": "user", "content": "Vreni was at the Zorbo again"}]}


def masked(home: Path, record: RecordSettings) -> str:
    """What the recorder of such an installation would keep of the message."""
    app = build(Settings(home=home, record=record))
    try:
        return str(app.redactor.redact(MESSAGE).value)
    finally:
        app.close()


def test_names_are_found_by_the_recogniser_that_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(start_char=17, end_char=22, label_="PERSON")
    pipeline = SimpleNamespace(pipe=lambda texts: [SimpleNamespace(ents=[found]) for _ in texts])
    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=lambda model: pipeline))
    assert "Zorbo" not in masked(tmp_path, RecordSettings(recogniser="spacy:any"))


def test_rules_alone_ask_no_recogniser(tmp_path: Path) -> None:
    assert masked(tmp_path, RecordSettings(redact="structured", recogniser="gliner:any")) == str(MESSAGE)


def test_trainer_epochs_and_seeds_make_another_recipe_and_threads_do_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)

    def recipe(**changes: Any) -> JsonObject:
        train = replace(settings.train, **changes)
        return build(replace(settings, train=train)).workshop(lambda _: None).recipe()

    first = recipe()
    assert first["base"].startswith("sha256:")
    assert recipe(threads=3) == first
    assert all(
        recipe(**change) != first
        for change in ({"trainer": "trl"}, {"epochs": 2}, {"seed": 1}, {"seeds": 3}, {"base": str(tmp_path)})
    )


def test_trl_trains_other_bases_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trainer(**train: Any) -> str:
        settings = Settings(home=tmp_path)
        changed = replace(settings, train=replace(settings.train, **train))
        return str(build(changed).workshop(lambda _: None).recipe()["trainer"])

    other = str(tmp_path)
    assert (trainer(), trainer(base=other), trainer(base=other, trainer="own")) == ("own", "trl", "own")
    monkeypatch.setattr(importlib.import_module("offramp.train.methods"), "has_trl", lambda: False)
    assert (trainer(base=other), trainer(trainer="trl")) == ("own", "trl")


def test_candidates_are_made_with_the_minimum_of_origins_that_is_set(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    alone = replace(settings, train=replace(settings.train, min_origins=1))
    made = [build(one).workshop(lambda _: None).min_origins for one in (settings, alone)]
    assert made == [MIN_ORIGINS, 1]


def test_a_night_may_raise_alpha_where_nobody_asked_for_one(tmp_path: Path) -> None:
    def goal(**certify: float) -> Any:
        given = {f"certify.{name}": value for name, value in certify.items()}
        return build(load(environ={}, overrides={"home": tmp_path, **given})).goal

    assert (goal().alpha, goal().ceiling) == (0.05, True)
    assert (goal(alpha=0.1).alpha, goal(alpha=0.1).ceiling) == (0.1, False)
