"""In which sense two answers are the same, and which task is compared in which sense."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from offramp.core.call import OutputType

if TYPE_CHECKING:
    from collections.abc import Mapping


class Measure(enum.StrEnum):
    """A sense in which two answers are the same; the value is its name in the settings."""

    LABEL = "label"
    JSON = "json"
    TOOLS = "tools"
    TOOLS_IN_ORDER = "tools-in-order"
    TOOLS_LOOSE = "tools-loose"
    TEXT = "text"

    @property
    def wording(self) -> str:
        """What a certificate calls it."""
        return _WORDING[self]


_WORDING: Final = {
    Measure.LABEL: "label, whatever its case, white space and enclosing quotes",
    Measure.JSON: "JSON, as a value",
    Measure.TOOLS: "tool calls, in any order",
    Measure.TOOLS_IN_ORDER: "tool calls, in order",
    Measure.TOOLS_LOOSE: "tool calls, in any order, up to punctuation and defaults",
    Measure.TEXT: "text, whatever its case, white space and punctuation",
}

FITTING: Final[Mapping[OutputType, tuple[Measure, ...]]] = {
    OutputType.LABEL: (Measure.LABEL, Measure.TEXT),
    OutputType.JSON: (Measure.JSON,),
    OutputType.TOOL_CALL: (Measure.TOOLS, Measure.TOOLS_IN_ORDER, Measure.TOOLS_LOOSE),
    OutputType.TEXT: (Measure.TEXT,),
    OutputType.ERROR: (),
}
"""Which measures compare answers of a form."""

_CHOSEN_ONLY: Final = frozenset({OutputType.TEXT})
"""Forms that have a measure only where somebody chose one: texts that say the same seldom are the same."""


def default_of(output: OutputType) -> Measure | None:
    """Return the measure that a form of answer has where none was chosen; None: it has none."""
    fitting = FITTING[output]
    return fitting[0] if fitting and output not in _CHOSEN_ONLY else None


@dataclass(frozen=True, slots=True)
class Measures:
    """Which measure is used for what, as the settings say.

    Attributes:
        forms: By form of answer, where it is not the form's own.
        tasks: By id, slug or name of a task.
    """

    forms: Mapping[OutputType, Measure] = field(default_factory=dict)
    tasks: Mapping[str, Measure] = field(default_factory=dict)

    def of(self, output: OutputType, *names: str) -> Measure | None:
        """Return the measure of a task: chosen for it, for its form, or the form's own; None: it has none.

        One that was chosen for a task is returned as it is, whether or not it fits its answers.

        Args:
            output: Form of the task's answers.
            names: What the task is called: id, slug, name.
        """
        chosen = next((self.tasks[name] for name in names if name in self.tasks), None)
        return chosen or self.forms.get(output) or default_of(output)
