"""How the gateway starts its children."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from offramp.app import build
from offramp.app.serving import command_of
from offramp.config import load
from offramp.core.errors import BadSetting

if TYPE_CHECKING:
    from pathlib import Path


def test_a_child_reads_the_settings_file_that_its_gateway_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder masks by it and keeps calls for as long as it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("[gateway]\nport = 9123\n")
    app = build(load(tmp_path.joinpath("mine.toml").relative_to(tmp_path), overrides={"home": "here"}))
    words = command_of(app, "recorder")
    assert words[1:3] == ["-m", "offramp"]
    assert words[-1] == "recorder"
    # Children may be started anywhere.
    said = subprocess.run([*words[:-1], "doctor"], cwd="/", capture_output=True, text=True, check=False)
    assert "http://127.0.0.1:9123/v1" in said.stdout


def test_without_a_named_file_a_child_looks_where_its_gateway_did(tmp_path: Path) -> None:
    assert "--settings" not in command_of(build(load(overrides={"home": tmp_path})), "worker")


def test_the_file_is_no_setting(tmp_path: Path) -> None:
    tmp_path.joinpath("mine.toml").write_text('file = "other.toml"\n')
    with pytest.raises(BadSetting, match="Unknown setting 'file'"):
        load(tmp_path / "mine.toml")
