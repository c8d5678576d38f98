"""Size budgets. The exception list may only shrink."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES, FUNCTION_P95, ROOT_ENTRIES = 500, 600, 60, 40, 15
OVERSIZED: frozenset[str] = frozenset()


def test_no_source_file_is_over_500_lines() -> None:
    over = {str(p.relative_to(ROOT)) for p in SOURCE if len(p.read_text().splitlines()) > FILE_LINES}
    assert over == OVERSIZED
    assert len(SOURCE) > 40


def test_no_test_file_is_over_600_lines() -> None:
    assert [p.name for p in TESTS if len(p.read_text().splitlines()) > TEST_FILE_LINES] == []


def test_functions_stay_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES} == {}
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= FUNCTION_P95


def test_the_root_has_at_most_15_entries() -> None:
    ignored = {".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "out"}
    ignored |= {".import_linter_cache", ".coverage", ".setup-stamp"}
    assert len([p for p in ROOT.iterdir() if p.name not in ignored]) <= ROOT_ENTRIES
