"""The providers' API forms: pure translations to and from chat completions, without input or output."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from offramp.dialect.chat import CHAT, completion_of
from offramp.dialect.completions import COMPLETIONS
from offramp.dialect.embeddings import EMBEDDINGS
from offramp.dialect.form import Folded, Form
from offramp.dialect.messages import MESSAGES
from offramp.dialect.responses import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.call import Dialect

__all__ = ["FORMS", "Folded", "Form", "completion_of", "form_of"]

FORMS: Mapping[str, Form] = MappingProxyType(
    {form.path: form for form in (CHAT, RESPONSES, MESSAGES, COMPLETIONS, EMBEDDINGS)}
)
"""Every API that is understood, by its path below ``/v1``."""

_BY_DIALECT: Mapping[Dialect, Form] = MappingProxyType({form.dialect: form for form in FORMS.values()})


def form_of(dialect: Dialect) -> Form:
    """Return the form of a dialect."""
    return _BY_DIALECT[dialect]
