from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--wire-data",
        action="append",
        default=[],
        metavar="PATH",
        help="recorded exchanges to run tests/flow/test_wire.py on besides the bundled ones: a .jsonl or "
        ".jsonl.gz file, or a folder of them",
    )
    parser.addoption(
        "--vllm",
        default="",
        metavar="PATH",
        help="a vllm program that runs on this processor, for tests/flow/test_vllm.py",
    )
