from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from offramp.redact.chain import Chain
from offramp.redact.keyed import Keyed

if TYPE_CHECKING:
    from collections.abc import Callable

    from offramp.redact.rule import Rule

KEY = b"k" * 32


@pytest.fixture
def keyed() -> Keyed:
    return Keyed(KEY)


@pytest.fixture
def apply(keyed: Keyed) -> Callable[[Rule, str], str]:
    """Apply a single rule to a text."""
    return lambda rule, text: Chain(keyed, (rule,)).apply(text).text
