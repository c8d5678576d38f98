"""`offramp enforce` as a user runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.enforce.hosts import Host, first_of_run
from tests.unit.enforce.world import TINY

from offramp.cli import main
from offramp.core.placement import PlacedDevice, Placement, Slice
from offramp.enforce.measured import read

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def placement_of(folder: Path, *names: str) -> Path:
    engines = tuple(replace(TINY, name=name, slices=(Slice(0, 0.5),)) for name in names)
    path = folder / "placement.json"
    path.write_text(json.dumps({"placement": Placement((PlacedDevice("l4"),), engines).to_dict()}))
    return path


def command_of(host: Host, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "offramp", "--home", str(host.state.folder.parent), "enforce", *arguments]


def apply_of(host: Host, placement: Path, *arguments: str) -> list[str]:
    program = f"{sys.executable} -m offramp.testing.vllm_server"
    port = str(first_of_run(2))
    flags = ["--flag", "--fake-folder", "--flag", str(host.fakes)]
    named = ["apply", str(placement), "--program", program, *flags, "--first-port", port, *arguments]
    return command_of(host, *named)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, home=tmp_path / "home/enforce")
    yield made
    made.clean()


def test_engines_are_applied_looked_at_and_stopped(host: Host, tmp_path: Path) -> None:
    applied = subprocess.run(
        apply_of(host, placement_of(tmp_path, "a", "b")), capture_output=True, text=True, check=True
    )
    assert [line.partition(",")[0] for line in applied.stdout.splitlines()] == ["a: healthy", "b: healthy"]
    seen = json.loads(
        subprocess.run(command_of(host, "status", "--json"), capture_output=True, check=True).stdout
    )
    assert not seen["supervised"]
    assert all(one["healthy"] for one in seen["engines"].values())
    words = subprocess.run(command_of(host, "status"), capture_output=True, text=True, check=True).stdout
    assert words.splitlines()[0] == "Nobody keeps these up."
    assert words.splitlines()[1].startswith("a: healthy, port")
    subprocess.run(command_of(host, "stop"), check=True, capture_output=True)
    assert host.alive() == {}


def test_one_that_does_not_come_up_ends_in_code_5(host: Host, tmp_path: Path) -> None:
    host.say("a", "broken")
    ended = subprocess.run(
        apply_of(host, placement_of(tmp_path, "a", "b"), "--attempts", "1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 5
    assert "Not up: a." in ended.stderr
    assert "b: healthy" in ended.stdout


@contextlib.contextmanager
def watching(host: Host, placement: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor until its engines are up, and kill it at the end."""
    with subprocess.Popen(
        apply_of(host, placement, "--watch"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"a: healthy")
            yield process
        finally:
            process.kill()


def test_a_killed_supervisor_leaves_engines_to_the_next(host: Host, tmp_path: Path) -> None:
    placement = placement_of(tmp_path, "a", "b")
    with watching(host, placement):
        before = {name: some[0].pid for name, some in host.alive().items()}
    assert set(before) == {"a", "b"}
    with watching(host, placement) as second:
        assert {name: some[0].pid for name, some in host.alive().items()} == before
        # The one that was started by another is watched by this one.
        os.kill(before["a"], signal.SIGKILL)
        while host.journal("ready").count("ready a") < 2:
            assert second.poll() is None
    assert set(host.alive()) == {"a", "b"}


def test_a_placement_of_several_hosts_wants_to_know_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = (PlacedDevice("l4"), PlacedDevice("l4", "node-1"))
    path = tmp_path / "placement.json"
    path.write_text(json.dumps(Placement(devices, ()).to_dict()))
    with pytest.raises(SystemExit):
        run(capsys, "apply", str(path))
    assert "node-0, node-1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(capsys, "apply", str(path), "--node", "node-7")
    assert "no host 'node-7'" in capsys.readouterr().err


def test_a_probe_is_kept_and_lowers_what_a_backend_claims(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = ["--seconds", "0.05", "--repeats", "1", "--neighbours", "1"]
    arguments = [
        "--home",
        str(tmp_path),
        "enforce",
        "probe",
        "--backend",
        "plain",
        "--device",
        "cpu-laptop",
        *fast,
    ]
    main([*arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["neighbour"] for row in found["rows"]] == ["compute", "bandwidth", "allocator"]
    assert found["capabilities"]["compute"] == "none"
    assert read(tmp_path / "enforce/isolation.json")[0].device == "cpu-laptop"
    main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["neighbour", "slowdown", "tail", "share", "others", "level"]
    assert lines[-1].startswith("plain on cpu-laptop counts as: memory")


def test_an_engine_that_is_there_is_measured(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = subprocess.run(
        apply_of(host, placement_of(tmp_path, "a"), "--json"), capture_output=True, check=True
    )
    port = json.loads(started.stdout)["a"]["port"]
    out = tmp_path / "profiles.json"
    arguments = ["probe", f"http://127.0.0.1:{port}", "--model", "a", "--prompt", "32", "--completion", "4"]
    main([*arguments, "--batches", "1,2", "--repeats", "1", "--out", str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["at", "once"]
    assert [step["batch"] for step in json.loads(out.read_text())["profiles"][0]["decode"]] == [1, 2]
