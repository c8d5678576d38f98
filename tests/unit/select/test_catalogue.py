from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.errors import BadSetting, NotFound
from offramp.select import load_catalogue

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = load_catalogue()
RAW: dict[str, Any] = json.loads(files("offramp").joinpath("assets/models.json").read_text(encoding="utf-8"))


def written(folder: Path, **changes: object) -> Path:
    """A models file with one model: the first bundled one, changed."""
    path = folder / "models.json"
    path.write_text(json.dumps({"models": [RAW["models"][0] | {"name": "me/mine"} | changes]}))
    return path


def test_there_are_at_least_25_models() -> None:
    assert len(CATALOGUE.models) >= 25


def test_every_licence_is_used_or_common() -> None:
    used = {model.licence for model in CATALOGUE.models.values()}
    assert used <= set(CATALOGUE.licences)
    assert not {licence for licence in CATALOGUE.licences if licence not in used}


def test_models_that_may_not_serve_a_business_are_marked() -> None:
    closed = {name for name, m in CATALOGUE.models.items() if not CATALOGUE.licence(m).commercial}
    assert closed == {
        "Qwen/Qwen2.5-3B-Instruct",
        "Salesforce/Llama-xLAM-2-8b-fc-r",
        "Salesforce/xLAM-2-3b-fc-r",
        "mistralai/Ministral-8B-Instruct-2410",
    }


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=lambda model: model.name)
def test_dates_and_languages_have_their_form(model: Any) -> None:
    assert model.released is None or re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", model.released)
    assert all(re.fullmatch("[a-z]{2}", code) for code in model.languages)
    assert len(model.windows()) == model.layers


def test_a_window_spares_every_so_many_layers() -> None:
    gemma = CATALOGUE.find("gemma-3-1b-it").windows()
    assert [layer for layer, window in enumerate(gemma) if window is None] == [5, 11, 17, 23]
    assert set(CATALOGUE.find("Qwen3-0.6B").windows()) == {None}


def test_a_model_is_found_with_and_without_its_owner() -> None:
    assert CATALOGUE.find("Qwen3-8B") is CATALOGUE.find("Qwen/Qwen3-8B")
    with pytest.raises(NotFound, match="no model 'gpt-2'"):
        CATALOGUE.find("gpt-2")


def test_a_file_of_ones_own_adds_and_replaces(tmp_path: Path) -> None:
    path = written(tmp_path, context=123)
    given = load_catalogue(path)
    assert given.find("me/mine").context == 123
    assert len(given.models) == len(CATALOGUE.models) + 1
    path.write_text(json.dumps({"models": [RAW["models"][0] | {"context": 9}]}))
    first = RAW["models"][0]["name"]
    assert load_catalogue(path).models[first] == replace(CATALOGUE.models[first], context=9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "28"}, "layers='28'"),
        ({"layers": 0}, "layers=0"),
        ({"layers": True}, "layers=True"),
        ({"tied": 1}, "tied=1"),
        ({"kv_heads": 5}, "no multiple of kv_heads=5"),
        ({"licence": "none"}, "licence='none' is none of"),
        ({"sources": {"shape": "https://x"}}, "sources name"),
        ({"sources": {"shape": "x", "licence": "https://x", "facts": "https://x"}}, "source 'x'"),
        ({"languages": ["en", 1]}, "languages="),
        ({"full_every": 2, "window": None}, "full_every=2 with window=None"),
        ({"colour": "red"}, "has \\['colour'\\] too many"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=message) as caught:
        load_catalogue(written(tmp_path, **changes))
    assert "me/mine" in str(caught.value)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"models": [{"name": "x"}]}))
    with pytest.raises(BadSetting, match=r"lacks \['chat', 'context'"):
        load_catalogue(path)


@pytest.mark.parametrize("content", ["", "[]", '{"models": {}}', '{"models": [1]}', '{"licences": {"x": 1}}'])
def test_a_file_that_is_no_catalogue_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(content)
    with pytest.raises(BadSetting):
        load_catalogue(path)


def test_a_name_may_stand_once(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"models": [RAW["models"][0], RAW["models"][0]]}))
    with pytest.raises(BadSetting, match="stands twice"):
        load_catalogue(path)
