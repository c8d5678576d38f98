"""The log: one line an event, as text for people or as JSON for machines; never a word of a call."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

# What every record has; the rest came as ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logs(form: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send offramp's log to ``stream`` (standard error by default).

    Args:
        form: ``"text"`` or ``"json"``.
        level: Least level that is written.
        stream: Where to.
    """
    target = logging.StreamHandler(stream or sys.stderr)
    target.setFormatter(JsonLines() if form == "json" else TextLines())
    logger = logging.getLogger("offramp")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(target)
    logger.setLevel(level)
    logger.propagate = False


class _Wordless(logging.Formatter):
    """Tells of an exception its classes and places only: what it says may quote a call."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        """See :meth:`logging.Formatter.formatException`."""
        error: BaseException | None = ei[1]
        told: list[str] = []
        while error is not None:
            places = "".join(traceback.format_tb(error.__traceback__))
            told.append(f"Traceback (most recent call last):\n{places}{_named(error)}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nwhich came of:\n".join(told)


def _named(error: BaseException) -> str:
    """Name a class; of the operating system's errors the reason too, which is none of a call's words."""
    name = type(error).__qualname__
    return f"{name}: {error.strerror}" if isinstance(error, OSError) and error.strerror else name


class JsonLines(_Wordless):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and the fields of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        line: JsonObject = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(_Wordless):
    """``time level logger: message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        # A message with line breaks would look like several, and could be made to look like another.
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        fields = "".join(f" {name}={_value(value)}" for name, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname.lower()} {record.name}: {message}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> JsonObject:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _value(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and " " not in text else json.dumps(text)
