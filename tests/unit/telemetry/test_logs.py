from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest

from offramp.telemetry import configure_logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    logger = logging.getLogger("offramp")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield io.StringIO()
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


def test_json_lines_carry_the_fields_of_the_event(stream: io.StringIO) -> None:
    configure_logs("json", stream=stream)
    logging.getLogger("offramp.gateway").warning(
        "The teacher %s", "broke off", extra={"call": "c-1", "status": 502}
    )
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "offramp.gateway",
        "message": "The teacher broke off",
        "call": "c-1",
        "status": 502,
    }


def test_text_is_one_line_whatever_the_message_holds(stream: io.StringIO) -> None:
    configure_logs("text", stream=stream)
    logging.getLogger("offramp.x").info("a\nb\r", extra={"path": "a b\nc"})
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r'info offramp.x: a\nb\r path="a b\nc"')


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_comes_with_its_trace_and_without_its_words(stream: io.StringIO, form: str) -> None:
    configure_logs(form, stream=stream)
    words = "what Jane wrote"[5:]
    try:
        try:
            int(words)
        except ValueError as error:
            raise KeyError(words) from error
    except KeyError:
        logging.getLogger("offramp").exception("failed")
    told = stream.getvalue()
    assert "KeyError" in told
    assert "ValueError" in told
    assert "test_logs.py" in told
    assert words not in told


def test_the_reason_of_the_operating_system_is_told(stream: io.StringIO, tmp_path: Path) -> None:
    configure_logs("text", stream=stream)
    try:
        (tmp_path / "none").read_bytes()
    except OSError:
        logging.getLogger("offramp").exception("failed")
    assert stream.getvalue().rstrip().endswith("FileNotFoundError: No such file or directory")


def test_what_is_below_the_level_is_left_out(stream: io.StringIO) -> None:
    configure_logs("text", level=logging.WARNING, stream=stream)
    logging.getLogger("offramp.x").info("quiet")
    assert stream.getvalue() == ""


def test_configuring_twice_writes_once(stream: io.StringIO) -> None:
    configure_logs("text", stream=stream)
    configure_logs("text", stream=stream)
    logging.getLogger("offramp.x").info("once")
    assert len(stream.getvalue().splitlines()) == 1
