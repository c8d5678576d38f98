"""Which calls may be learned from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from offramp.core.call import Answer, Call, OutputType, answer_of, functions_of
from offramp.core.dataset import Item
from offramp.core.errors import BadInput
from offramp.core.render import is_text_only, payload_of, render_example
from offramp.curate.dedupe import near_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offramp.core.dataset import Dataset
    from offramp.core.task import Task

NOT_TRAINABLE = "the upstream's terms or the caller's key do not allow training on it"
FAILED = "the call failed"
NOT_TEACHER = "a specialist answered"
NO_ANSWER = "no answer that can be compared"
NOT_TEXT = "holds more than text"
NO_PAYLOAD = "no payload"
OTHER_FORM = "another form of answer than the task's"
NOT_OFFERED = "a tool or argument the request did not offer"


def keep(
    calls: Iterable[Call], assignment: Mapping[str, str], tasks: Mapping[str, Task]
) -> tuple[list[Item], Counter[str]]:
    """Keep the calls of some tasks that hold one usable answer of their task's form.

    Args:
        calls: Calls of any task.
        assignment: Task id by call id.
        tasks: The wanted tasks by id.

    Returns:
        Items in the order of ``calls``, and how many calls of these tasks were dropped, by reason.
    """
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    for call in calls:
        task = tasks.get(assignment.get(call.id, ""))
        if task is None:
            continue
        item = _read(call, task)
        if isinstance(item, Item):
            items.append(item)
        else:
            dropped[item] += 1
    return items, dropped


def _read(call: Call, task: Task) -> Item | str:
    answer = answer_of(call.response) if call.status == 200 else None
    reason = _refusal(call, answer)
    if reason or answer is None:
        return reason or NO_ANSWER
    example = render_example(call, answer, hint=task.slug or task.id, output=task.output)
    if example is None:
        return OTHER_FORM
    if task.output is OutputType.TOOL_CALL and not _is_offered(call, answer):
        return NOT_OFFERED
    return Item(call, task.id, answer, example, near_key(task.id, payload_of(call.request)))


def require_consent(datasets: Iterable[Dataset]) -> None:
    """Stop right before training where a call may not be trained on, however it came there.

    Raises:
        BadInput: A dataset holds such a call.
    """
    for dataset in datasets:
        items = (
            item for parts in (dataset.parts, dataset.repeats) for part in parts.values() for item in part
        )
        withheld = sum(not item.call.trainable for item in items)
        if withheld:
            raise BadInput(
                f"{withheld} calls of the dataset of {', '.join(dataset.tasks)} may not be trained on "
                f"({NOT_TRAINABLE}); there must be none.",
                hint="Curate it again.",
            )


def _refusal(call: Call, answer: Answer | None) -> str:
    if not call.trainable:
        return NOT_TRAINABLE
    if call.status != 200:
        return FAILED
    if call.route != "teacher":
        # Learning from a specialist's own answers would confirm its mistakes.
        return NOT_TEACHER
    if answer is None:
        return NO_ANSWER
    if not is_text_only(call.request):
        return NOT_TEXT
    return "" if payload_of(call.request).strip() else NO_PAYLOAD


def _is_offered(call: Call, answer: Answer) -> bool:
    called = answer.tool_calls[0]
    for function in functions_of(call.request):
        if function.get("name") == called.name:
            schema = function.get("parameters") or {}
            return set(called.arguments) <= set(schema.get("properties") or {})
    return False
