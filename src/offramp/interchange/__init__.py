"""Calls in other tools' files: reading them in, writing them out."""

from offramp.interchange.formats import FORMATS, format_named
from offramp.interchange.port import Format
from offramp.interchange.reader import Broken, read_calls

__all__ = ["FORMATS", "Broken", "Format", "format_named", "read_calls"]
