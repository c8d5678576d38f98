"""`offramp scan` as somebody meets it who has a log and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from offramp.cli import main
from offramp.testing.traffic import Agent, calls_of, write_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offramp.core.json import JsonObject

    Scan = Callable[..., tuple[int, str, str]]

SESSIONS = 420


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scan:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            main(["scan", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def rows(sessions: int = SESSIONS, *kinds: str) -> list[str]:
    agent = Agent()
    pairs = [getattr(agent, kind)() for _ in range(sessions) for kind in kinds or ("route", "rhyme")]
    return write_log(calls_of(pairs, per_session=len(kinds) or 2)).splitlines()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(rows(70)))
    return path


def summary_of(out: str) -> JsonObject:
    value: JsonObject = json.loads(out)
    return value


def test_a_log_becomes_a_certified_share_and_a_page(scan: Scan, tmp_path: Path) -> None:
    log, page = tmp_path / "log.jsonl", tmp_path / "scan.html"
    log.write_text("\n".join(rows()))
    code, out, err = scan(str(log), "--alpha", "0.1", "--out", str(page), "--minutes", "30", "--json")
    assert code == 0
    summary = summary_of(out)
    live = [task for task in summary["tasks"] if task["decision"] == "specialist"]
    assert [task["output"] for task in live] == ["label"]
    assert live[0]["risk_upper"] <= 0.1
    assert live[0]["coverage"] > 0.3
    assert summary["scan"]["times"] == "log"
    assert "Masked" in err or "Found 2 tasks" in err
    html = page.read_text()
    assert "could leave the LLM" in html
    assert "What this does not say" in html
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "scan.html"]


def test_quick_says_a_ceiling_and_the_next_command(scan: Scan, log: Path) -> None:
    code, out, _ = scan(str(log), "--quick")
    assert code == 0
    assert "50 % of these 140 calls give answers of a form that can be certified (1 of 2 tasks)" in out
    assert out.splitlines()[-1] == f"Next: offramp scan {log} --out scan.html"


def test_quick_loads_nothing_that_trains(log: Path) -> None:
    code = (
        "import sys\nfrom offramp.cli import main\n"
        f"main(['scan', {str(log)!r}, '--quick'])\n"
        "heavy = {'torch', 'sklearn', 'transformers', 'peft'} & set(sys.modules)\n"
        "sys.exit(f'loaded {sorted(heavy)}' if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_without_the_train_extra_it_says_what_to_install(
    scan: Scan, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in [
        name for name in sys.modules if name.startswith(("sklearn.", "offramp.loop", "offramp.train"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    code, _, err = scan(str(log))
    assert code == 2
    assert "pip install 'offramp[train]'" in err


def test_standard_input_is_read(scan: Scan, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for raw in (log.read_bytes(), gzip.compress(log.read_bytes())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        code, out, _ = scan("-", "--quick", "--json")
        assert code == 0
        assert (summary_of(out)["calls_total"], summary_of(out)["title"]) == (140, "standard input")


def test_a_pipe_and_a_packed_file_of_any_name_are_read(scan: Scan, log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "log.bin"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert scan(str(packed), "--quick")[0] == 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["cp", str(log), str(pipe)])
    code, out, _ = scan(str(pipe), "--quick", "--json")
    assert writer.wait() == 0
    assert (code, summary_of(out)["calls_total"]) == (0, 140)


def test_broken_lines_are_counted_and_named(scan: Scan, log: Path) -> None:
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], "{nonsense", *lines[1:], '{"request": 7, "response": {}}']))
    code, _, err = scan(str(log), "--quick")
    assert code == 2
    assert f"{log}, line 2 is no recorded call (not JSON)" in err
    assert "--skip-broken" in err
    code, out, _ = scan(str(log), "--quick", "--skip-broken")
    assert code == 0
    assert f"Left out: 2 broken lines ({log}, line 2; {log}, line 142)." in " ".join(out.split())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "There is no call in"),
        (b"\n\n", "There is no call in"),
        (b"[]", "is no recorded call"),
        (bytes(range(256)) * 40, "is no recorded call (not JSON)"),
        (b"\x1f\x8b" + bytes(50), "breaks off"),
        (b'{"request": {"messages": []}', "is no recorded call"),
    ],
    ids=["empty", "blank", "no rows", "binary", "broken gzip", "cut"],
)
def test_what_is_no_log_gets_one_clear_error(scan: Scan, log: Path, content: bytes, complaint: str) -> None:
    log.write_bytes(content)
    code, out, err = scan(str(log), "--quick")
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.splitlines()[-1].startswith("offramp: ")


def test_nothing_but_broken_lines_is_an_error_too(scan: Scan, log: Path) -> None:
    log.write_text("one\ntwo\n")
    code, _, err = scan(str(log), "--quick", "--skip-broken")
    assert code == 2
    assert "2 broken lines; the first:" in err


def test_a_folder_is_named(scan: Scan, tmp_path: Path) -> None:
    code, _, err = scan(str(tmp_path), "--quick")
    assert code == 2
    assert f"{tmp_path} is a folder. Give the files in it: {tmp_path}/*.jsonl" in err


def test_one_call_is_no_task_and_no_crash(scan: Scan, log: Path) -> None:
    log.write_text(log.read_text().splitlines()[0])
    code, out, _ = scan(str(log))
    assert code == 0
    assert "None of this 1 call can leave the LLM" in " ".join(out.split())
    assert out.splitlines()[-1].startswith("Next: offramp serve")


def chats(number: int, **fields: object) -> str:
    message = {"role": "user", "content": "Tell me about Jane Miller, jane@acme.org"}
    answer = {"role": "assistant", "content": "She writes."}
    return "\n".join(json.dumps({"messages": [message, answer], **fields}) for _ in range(number))


def test_chats_without_times_or_models_are_taken_for_a_month(scan: Scan, log: Path) -> None:
    log.write_text(chats(30))
    code, out, _ = scan(str(log), "--quick", "--json")
    facts = summary_of(out)["scan"]
    assert code == 0
    assert (facts["times"], facts["days"], facts["unpriced"]) == ("assumed", 30.0, [""])
    assert "jane@acme.org" not in out


def test_a_model_and_days_can_be_said(scan: Scan, log: Path) -> None:
    log.write_text(chats(30))
    out = scan(str(log), "--quick", "--json", "--model", "gpt-4o", "--days", "3")[1]
    facts = summary_of(out)["scan"]
    assert (facts["times"], facts["days"], facts["unpriced"]) == ("given", 3.0, [])
    assert summary_of(out)["plan"]["costs"]["calls"] == 300


def test_models_without_a_price_count_as_free(scan: Scan, log: Path) -> None:
    priced = chats(30, model="gpt-4o")
    other = chats(30, model="nobodys-model").replace("Tell me about", "Sing of")
    log.write_text(f"{priced}\n{other}")
    summary = summary_of(scan(str(log), "--quick", "--json")[1])
    assert summary["scan"]["unpriced"] == ["nobodys-model"]
    assert any("count as free" in note for note in summary["notes"])
