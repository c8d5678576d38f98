"""Where specialists are to run under some settings, for what a call of each kind of candidate costs there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.app.models import base_shape
from offramp.app.money import prices_of
from offramp.core.errors import NotFound
from offramp.loop.candidates.running import site_of
from offramp.plan.devices import find_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.config import Settings
    from offramp.core.dataset import Item
    from offramp.loop.candidates.running import Site
    from offramp.plan.prices import ModelPrice


def site_maker(settings: Settings) -> Callable[[Sequence[Item]], Site]:
    """Return what describes the configured device and the cheaper model's price by training calls.

    Raises:
        NotFound: There is no such device.
        BadSetting: The file of prices is none.
    """
    device, shape, price = find_device(settings.plan.device), base_shape(settings), _cheaper_price(settings)
    return lambda items: site_of(items, device, calls=len(items), base=shape, price=price)


def _cheaper_price(settings: Settings) -> ModelPrice | None:
    if not settings.train.cheaper:
        return None
    try:
        return prices_of(settings).price(settings.train.cheaper)
    except NotFound:
        return None
