"""Calls out of one store and into another."""

from __future__ import annotations

import gzip
import json
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("pairs", "chat", "otel", "langfuse", "litellm")


def offramp(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offramp", "--home", str(home), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    log = folder / "log.jsonl"
    rows = [
        {
            "request": {"model": "m", "messages": [{"role": "user", "content": f"mail jane{n}@example.org"}]},
            "response": {"choices": [{"message": {"role": "assistant", "content": "sent"}}]},
            "ts": 1_700_000_000 + n,
        }
        for n in range(5)
    ]
    rows.append(rows[0] | {"response": {"error": {"message": "no"}}, "meta": {"status": 429}})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert offramp(folder / "home", "import", log).returncode == 0
    return folder / "home"


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_exported_can_be_imported_again(home: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "calls.jsonl.gz"
    exported = offramp(home, "export", out, "--format", name, "--json")
    assert exported.returncode == 0, exported.stderr
    kept = 5 if name == "chat" else 6
    assert json.loads(exported.stdout)["written"] == kept
    assert json.loads(exported.stdout)["left_out"] == 6 - kept
    imported = offramp(tmp_path / "other", "import", out, "--json")
    assert json.loads(imported.stdout) == {"read": kept, "added": kept, "skipped": 0}


def test_exports_are_masked_and_for_their_owner_only(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "calls.jsonl.gz"
    offramp(home, "export", out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b"jane" not in gzip.decompress(out.read_bytes())


def test_since_leaves_older_calls_out(home: Path, tmp_path: Path) -> None:
    exported = offramp(home, "export", tmp_path / "o.jsonl", "--since", "2023-11-14T22:13:23Z", "--json")
    assert json.loads(exported.stdout)["written"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "csv"), "no format 'csv'"),
        (("--since", "yesterday"), "'yesterday' is no time"),
        (("--task", "t-1"), "no task 't-1'"),
    ],
)
def test_a_wrong_flag_is_one_line_and_writes_nothing(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    failed = offramp(home, "export", tmp_path / "out" / "o.jsonl", *arguments)
    assert failed.returncode == 2
    assert list(tmp_path.iterdir()) == []
    named = offramp(home, "export", tmp_path / "o.jsonl", *arguments)
    assert said in named.stderr
    assert len(named.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
