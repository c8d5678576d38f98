from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from offramp.access import lineage
from offramp.access.erase import concerned
from offramp.access.lineage import Built, Folder
from offramp.access.search import search_files
from offramp.testing.memory_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {"train": ["a", "b", "c"], "validation": ["d"], "calibration": ["e", "f"], "test": []}


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    lineage.save(made, "hash-1", "router", ["t-1"], PARTS)
    lineage.save(made, "hash-2", "lights", ["t-2"], {"train": ["x"], "calibration": ["a"]})
    return made


def test_datasets_that_hold_a_call_are_found_with_the_part_it_is_in(store: MemoryStore) -> None:
    one, two = lineage.built_from(store, ["a", "d", "e", "z"])
    assert (one.name, one.tasks) == ("router", ("t-1",))
    assert one.calls == {"train": 1, "validation": 1, "calibration": 1, "test": 0}
    assert (one.fitted, one.certified) == (2, 1)
    assert (two.fitted, two.certified) == (0, 1)
    assert lineage.built_from(store, ["z"]) == []


def test_a_lineage_names_no_call(store: MemoryStore) -> None:
    lineage.save(store, "hash-3", "n", [], {"train": ["019ab-very-own-id"]})
    assert "very-own" not in repr(store.documents(lineage.DATASET))


def test_the_same_call_has_another_digest_in_each_dataset(store: MemoryStore) -> None:
    one, two = store.documents(lineage.DATASET).values()
    assert two["calls"]["calibration"] not in one["calls"]["train"]


def test_a_call_that_is_gone_leaves_a_count(store: MemoryStore) -> None:
    lineage.forget(store, ["a", "e", "z"])
    assert lineage.built_from(store, ["a", "e"]) == []
    (found,) = lineage.built_from(store, ["b"])
    assert found.calls["train"] == 1
    assert [value["erased"] for value in store.documents(lineage.DATASET).values()] == [2, 1]


def test_specialists_are_read_off_their_folders(tmp_path: Path) -> None:
    folder = tmp_path / "cache-1"
    (folder / "deep").mkdir(parents=True)
    (folder / "specialist.json").write_text(json.dumps({"kind": "cache", "dataset": "hash-1"}))
    (folder / "deep" / "x").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "half-made").mkdir()
    (tmp_path / "half-made" / "weights").touch()
    (tmp_path / "a file").touch()
    assert lineage.folders(tmp_path) == [
        Folder("cache-1", "cache", "hash-1", ("cache-1/deep/x", "cache-1/specialist.json")),
        Folder("half-made", "", "", ("half-made/weights",)),
    ]
    assert lineage.folders(tmp_path / "nowhere") == []


def test_specialists_are_concerned_by_what_they_were_fitted_on() -> None:
    built = [Built("h1", "n", (), {"train": 2}), Built("h2", "n", (), {"calibration": 1})]
    folders = [Folder(f"s-{hash_}", "lora", hash_, ()) for hash_ in ("h1", "h2", "h3", "older")]
    found = concerned(built, folders, ["h1", "h2", "h3"])
    assert [(one.id, one.calls) for one in found] == [("s-h1", 2), ("s-older", None)]


def test_a_needle_between_two_pieces_of_a_file_is_found(tmp_path: Path) -> None:
    size = 4 << 20
    (tmp_path / "large").write_bytes(b"\xff" * (size - 3) + b"canary" + b"\0" * 100)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "small").write_bytes(b"\x80bird\x81")
    (tmp_path / "clean").write_bytes(b"nothing")
    hits, files, _ = search_files([tmp_path, tmp_path / "nowhere"], {b"canary": "one", b"bird": "other"})
    assert [(hit.path.rpartition("/")[2], hit.what) for hit in hits] == [("small", "other"), ("large", "one")]
    assert files == 3


def test_thousands_of_needles_are_looked_for_at_once(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"xx 0000001999-id yy")
    needles = {f"{number:010d}-id".encode(): str(number) for number in range(3000)}
    hits, _, _ = search_files([tmp_path / "f"], needles)
    assert [hit.what for hit in hits] == ["1999"]
