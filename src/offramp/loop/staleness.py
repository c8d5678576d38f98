"""Whether a certificate still says what the settings mean by agreement.

A specialist that was certified in one sense and audited in another would be rolled back for what it never
promised, or kept for what nobody asks for any more. So a changed measure makes its certificate stale: it is
not promoted, and a gateway takes it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from offramp.core.call import OutputType
from offramp.core.measure import default_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offramp.core.deployment import Deployment
    from offramp.core.measure import Measure, Measures
    from offramp.core.task import Task


_NONE: Final = "nothing that can be compared"


def compared(
    deployment: Deployment, tasks: Mapping[str, Task], measures: Measures
) -> dict[str, tuple[OutputType, Measure | None]]:
    """Tell by task in which sense the settings compare a specialist's answers.

    Args:
        deployment: What was certified.
        tasks: The discovered tasks by id, for the names that settings may use.
        measures: What the settings say.
    """
    found = {}
    for name in sorted({*deployment.tasks, *deployment.mix}):
        task = tasks.get(name)
        output = _output(deployment, task)
        names = (name,) if task is None else (name, task.slug, task.name)
        found[name] = (output, measures.of(output, *names))
    return found


def why_stale(deployment: Deployment, tasks: Mapping[str, Task], measures: Measures) -> str:
    """Say in which sense answers are to be compared now, where that is not what was certified; "" else.

    Args:
        deployment: What was certified.
        tasks: The discovered tasks by id.
        measures: What the settings say.
    """
    for name, (output, measure) in compared(deployment, tasks, measures).items():
        own = default_of(output)
        certified = deployment.measure or (own.wording if own else _NONE)
        wanted = measures.wording(measure) if measure else _NONE
        if certified != wanted:
            return f"certified for agreement ({certified}); the settings compare {name} otherwise ({wanted})"
    return ""


def _output(deployment: Deployment, task: Task | None) -> OutputType:
    """What was certified, whatever the task's answers look like to the last discovery."""
    if deployment.output:
        return OutputType(deployment.output)
    return OutputType.TEXT if task is None else task.output
