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
    JUDGE = "judge"

    @property
    def wording(self) -> str:
        """What a certificate calls it; a judge has a name besides, see ``judged_by``."""
        return _WORDING[self]


_WORDING: Final = {
    Measure.LABEL: "label, whatever its case, white space and enclosing quotes",
    Measure.JSON: "JSON, as a value",
    Measure.TOOLS: "tool calls, in any order",
    Measure.TOOLS_IN_ORDER: "tool calls, in order",
    Measure.TOOLS_LOOSE: "tool calls, in any order, up to punctuation and defaults",
    Measure.TEXT: "text, whatever its case, white space and punctuation",
    Measure.JUDGE: "as a judge sees it",
}

FITTING: Final[Mapping[OutputType, tuple[Measure, ...]]] = {
    OutputType.LABEL: (Measure.LABEL, Measure.TEXT),
    OutputType.JSON: (Measure.JSON, Measure.JUDGE),
    OutputType.TOOL_CALL: (Measure.TOOLS, Measure.TOOLS_IN_ORDER, Measure.TOOLS_LOOSE),
    OutputType.TEXT: (Measure.TEXT, Measure.JUDGE),
    OutputType.ERROR: (),
}
"""Which measures compare answers of a form."""

_CHOSEN_ONLY: Final = frozenset({OutputType.TEXT})
"""Forms that have a measure only where somebody chose one: texts that say the same seldom are the same."""


def default_of(output: OutputType) -> Measure | None:
    """Return the measure that a form of answer has where none was chosen; None: it has none."""
    fitting = FITTING[output]
    return fitting[0] if fitting and output not in _CHOSEN_ONLY else None


def judged_by(name: str) -> str:
    """Return what a certificate calls agreement that a judge of this name decided."""
    return f"as judged by {name}"


EVERY_TASK: Final = "*"
"""Stands for all tasks where a judge's error was measured for none in particular."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Which measure is used for what, as the settings say.

    Attributes:
        forms: By form of answer, where it is not the form's own.
        tasks: By id, slug or name of a task.
        judge: Name of the judge, "" where none is set up.
        judged: Ids of the tasks that its error was measured for, or ``EVERY_TASK``.
    """

    forms: Mapping[OutputType, Measure] = field(default_factory=dict)
    tasks: Mapping[str, Measure] = field(default_factory=dict)
    judge: str = ""
    judged: frozenset[str] = frozenset()

    def of(self, output: OutputType, *names: str) -> Measure | None:
        """Return the measure of a task: chosen for it, for its form, or the form's own; None: it has none.

        One that was chosen for a task is returned as it is, whether or not it fits its answers. Free text
        is judged where nothing else was chosen. A judge without a measured error is no measure.

        Args:
            output: Form of the task's answers.
            names: What the task is called: id, slug, name.
        """
        chosen = next((self.tasks[name] for name in names if name in self.tasks), None)
        measure = chosen or self.forms.get(output) or default_of(output)
        if measure is None and output is OutputType.TEXT:
            measure = Measure.JUDGE
        if measure is Measure.JUDGE and not (self.judge and self.judged & {EVERY_TASK, *names}):
            return None
        return measure

    def wording(self, measure: Measure) -> str:
        """Return what a certificate calls a measure."""
        return judged_by(self.judge) if measure is Measure.JUDGE else measure.wording
