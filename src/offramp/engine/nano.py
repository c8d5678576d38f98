"""Where the bundled nano base lies."""

from __future__ import annotations

from pathlib import Path

NANO_BASE = Path(__file__).parent.parent / "assets" / "nano"
"""The Hugging Face directory of the base that ships with offramp."""
