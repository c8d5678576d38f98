"""What is known of the configured base and of the models that could take its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput, NotFound
from offramp.loop.bases import shape_of
from offramp.plan.shape import read_shape
from offramp.select import load_catalogue

if TYPE_CHECKING:
    from offramp.config import Settings
    from offramp.plan.shape import ModelShape


def base_shape(settings: Settings) -> ModelShape | None:
    """Read the shape of the configured base: from its directory, else from the catalogue.

    Returns:
        None where neither knows it, so that its costs cannot be modelled before they are measured.
    """
    base = settings.train.base
    config = Path(base) / "config.json"
    try:
        if config.is_file():
            return read_shape(json.loads(config.read_text(encoding="utf-8")), name=Path(base).name)
        return shape_of(load_catalogue().find(base))
    except (BadInput, NotFound, ValueError):
        return None
