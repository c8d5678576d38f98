"""`offramp store` as a user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from offramp.cli.store import command
from offramp.core.call import Call
from offramp.core.errors import NotFound, WrongKey
from offramp.storage.crypto import create_key, load_key, replace_key
from offramp.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

Run = "Callable[..., Result]"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Callable[..., Result]:
    def store(*arguments: str) -> Result:
        return CliRunner().invoke(
            command, arguments, obj={"home": str(home), "settings": None}, catch_exceptions=False
        )

    return store


@pytest.fixture
def filled(home: Path) -> Path:
    store = SqliteStore(home / "offramp.db", load_key(home / "master.key", create=True))
    store.append([Call(f"c{n:04d}", float(n), "s", "o", {"n": n}, {"t": "x" * 3_000}) for n in range(100)])
    store.put("task", "t", {})
    store.close()
    return home


def reopened(home: Path) -> SqliteStore:
    return SqliteStore(home / "offramp.db", load_key(home / "master.key"))


def test_info_says_what_is_there(run: Callable[..., Result], filled: Path) -> None:
    out = run("info").output
    assert "100 calls" in out
    assert "1 segments" in out
    assert "LOST" not in out
    told = json.loads(run("info", "--json").output)
    assert (told["calls"], told["lost"], told["data_keys"]) == (100, 0, [1])


def test_info_says_what_is_lost(run: Callable[..., Result], filled: Path) -> None:
    (filled / "segments/000000000001.seg").unlink()
    assert "100 calls are LOST" in run("info").output
    assert "000000000001.seg" in run("info").output


def test_upkeep_takes_its_limits_from_flags(run: Callable[..., Result], filled: Path) -> None:
    assert json.loads(run("upkeep", "--json").output)["expired"] == 0
    assert "100 calls were too old" in run("upkeep", "--days", "1").output
    assert reopened(filled).count() == 0


def test_upkeep_takes_its_limits_from_the_settings(
    run: Callable[..., Result], filled: Path, tmp_path: Path
) -> None:
    (tmp_path / "offramp.toml").write_text("[record]\nretain_days = 1.0\n")
    assert json.loads(run("upkeep", "--json").output)["expired"] == 100


def test_a_size_limit_keeps_the_newest(run: Callable[..., Result], filled: Path) -> None:
    before = json.loads(run("upkeep", "--json").output)["bytes_after"]
    done = json.loads(run("upkeep", "--max-bytes", str(before - 3_000), "--json").output)
    assert 0 < done["evicted"] < 100
    assert done["bytes_after"] <= before - 3_000
    store = reopened(filled)
    assert [c.id for c in store.calls()] == [f"c{n:04d}" for n in range(done["evicted"], 100)]
    store.close()


def test_a_new_data_key_seals_everything(run: Callable[..., Result], filled: Path) -> None:
    assert "Data key 2 seals from now on; 101 calls and documents" in run("rotate-key").output
    assert json.loads(run("rotate-key", "--json").output)["data_keys"] == [3]
    assert reopened(filled).count() == 100


def test_a_new_master_key_is_in_the_key_file(run: Callable[..., Result], filled: Path) -> None:
    before = load_key(filled / "master.key")
    assert "holds a new master key" in run("rotate-master").output
    assert load_key(filled / "master.key") != before
    assert len(list(reopened(filled).calls())) == 100
    assert json.loads(run("rotate-master", "--json").output) == {"key_file": str(filled / "master.key")}


@pytest.mark.parametrize("name", ["info", "upkeep", "rotate-key", "rotate-master"])
def test_without_a_store_nothing_is_created(run: Callable[..., Result], home: Path, name: str) -> None:
    with pytest.raises(NotFound, match="no store yet"):
        run(name)
    assert not home.exists()


@pytest.mark.parametrize("name", ["info", "upkeep", "rotate-key", "rotate-master"])
def test_a_wrong_key_fails_closed(run: Callable[..., Result], filled: Path, name: str) -> None:
    replace_key(filled / "master.key", create_key())
    with pytest.raises(WrongKey, match="does not open this store"):
        run(name)
