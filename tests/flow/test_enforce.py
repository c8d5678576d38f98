"""`offramp enforce` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offramp.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples/enforce"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(["enforce", *arguments])
    return capsys.readouterr().out


def test_files_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(
        capsys, "emit", str(EXAMPLES / "placement.json"), "--backend", "mps", "--out", str(tmp_path / "out")
    )
    assert str(tmp_path / "out/node-0.sh") in shown
    assert (tmp_path / "out/node-0.sh").read_text() == (EXAMPLES / "mps/node-0.sh").read_text()


def test_command_lines_are_printed_or_given_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "vllm serve /models/qwen3-4b" in run(capsys, "emit", str(EXAMPLES / "placement.json"))
    given = json.loads(run(capsys, "emit", str(EXAMPLES / "placement.json"), "--json"))
    assert [engine["port"] for engine in given["engines"]] == [8500, 8501, 8502]


def test_backends_are_listed_with_what_they_guarantee(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(run(capsys, "backends", "--json"))["mig"]["bandwidth"] == "hard"
    lines = run(capsys, "backends").splitlines()
    assert lines[0].split() == ["backend", "memory", "compute", "bandwidth", "faults", "live_resize"]
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no file"),
        ("{", "is no JSON file"),
        ("[]", "holds no placement: AttributeError"),
        ('{"engines": []}', "holds no placement: KeyError"),
    ],
)
def test_what_is_no_placement_gets_one_line(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "placement.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        run(capsys, "emit", str(path))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
