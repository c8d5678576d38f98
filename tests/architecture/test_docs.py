"""Docs that lie fail the build: links, commands, examples, the command-line reference."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from offramp import __version__
from offramp.cli.reference import reference
from offramp.cli.root import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
PAGES += (ROOT / "src/offramp/assets").rglob("*.md")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_names_only_commands_that_exist() -> None:
    named = set(re.findall(r"offramp ([a-z]+)", (ROOT / "README.md").read_text()))
    assert named <= COMMANDS.keys()
    assert len(named) >= 8


def test_every_command_has_a_module() -> None:
    for name in COMMANDS:
        file = "import_" if name == "import" else name
        assert (ROOT / "src/offramp/cli" / f"{file}.py").is_file()


def test_the_changelog_knows_this_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_runs(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out
    assert example.name in (ROOT / "examples/README.md").read_text()


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    assert (ROOT / "docs/cli.md").read_text() == reference()
