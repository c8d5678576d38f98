"""Wiring: the only place that picks implementations."""

from offramp.app.build import App, build

__all__ = ["App", "build"]
