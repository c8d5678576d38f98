"""The command line: one file per command; each parses, calls and prints."""

from offramp.cli.root import main

__all__ = ["main"]
