"""The base that a conversion chose, where the settings leave that to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import NotFound
from offramp.loop.state import RUN

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.storage.port import Store

AUTO = "auto"
"""The base setting that leaves the choice to a conversion."""

_CHOSEN = "base"


def save_base(store: Store, name: str, probe: JsonObject) -> None:
    """Keep the base that a conversion chose, with what it was chosen from."""
    store.put(RUN, _CHOSEN, {"name": name, "probe": probe})


def chosen_base(store: Store) -> str:
    """Return the base that a conversion chose.

    Raises:
        NotFound: None has been chosen yet.
    """
    value = store.get(RUN, _CHOSEN)
    if value is None:
        raise NotFound("No base has been chosen yet.", hint="Run `offramp convert --base auto`.")
    return str(value["name"])
