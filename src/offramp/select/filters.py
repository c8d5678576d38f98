"""Hard filters: what rules a model out before anything is measured, each with its reason in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from offramp.select.catalogue import Licence, SmallModel

SHARE = 0.999
"""Share of a task's calls that a model's context has to hold."""

GIB = 2**30

EMBEDDED_FAMILIES = frozenset(
    {"gemma3_text", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"}
)
"""Model types that the embedded engine loads: those the pinned transformers knows, with a plain decoder."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a task asks of a model.

    Attributes:
        context: Tokens that ``SHARE`` of its calls fit into, prompt and completion.
        device: Name of the device, for the reason.
        memory: Bytes the device has.
        engine: ``"embedded"``, or ``"server"`` for an OpenAI-compatible server, which is believed.
        fine_tune: Whether the model is to be trained.
        commercial: Whether it serves a business.
        tools: Whether the answers are tool calls made without training, so that the model must know how.
        languages: Codes of languages that it has to know.
    """

    context: int
    device: str
    memory: int
    engine: str = "embedded"
    fine_tune: bool = True
    commercial: bool = True
    tools: bool = False
    languages: tuple[str, ...] = ()


def tokens_at(counts: Iterable[int], share: float = SHARE) -> int:
    """Return the least number of tokens that at least this share of the calls do not exceed.

    An order statistic, not an interpolation: with fewer than a thousand calls and the default share it
    is the longest call.

    Raises:
        BadInput: There are no calls, or the share is not in (0, 1].
    """
    ordered = sorted(counts)
    if not ordered or not 0 < share <= 1:
        raise BadInput(f"A share of {share} of {len(ordered)} calls has no quantile; give calls, and 0 to 1.")
    # Rounded first: 0.999 x 1000 is 999.0000000000001 on some shares, which would skip a call.
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]


def refusals(model: SmallModel, licence: Licence, need: Need, memory: int) -> tuple[str, ...]:
    """Say why a model is out; empty where nothing speaks against it.

    Args:
        model: The model.
        licence: Its licence.
        need: What the task asks for.
        memory: Bytes that the model would take on the device, with what has to run beside it.
    """
    reasons = [*_licence(licence, need), *_size(model, need, memory), *_abilities(model, need)]
    return tuple(reasons)


def _licence(licence: Licence, need: Need) -> list[str]:
    reasons = []
    if need.commercial and not licence.commercial:
        reasons.append(f"the {licence.title} does not allow commercial use")
    if need.fine_tune and not licence.fine_tuning:
        reasons.append(f"the {licence.title} does not allow fine-tuning")
    return reasons


def _size(model: SmallModel, need: Need, memory: int) -> list[str]:
    reasons = []
    if need.context > model.context:
        reasons.append(
            f"{SHARE:.1%} of the calls need {need.context:,} tokens; its context is {model.context:,}"
        )
    if memory > need.memory:
        reasons.append(
            f"it needs {memory / GIB:.1f} GiB; {need.device} has {need.memory / GIB:.1f} GiB for programs"
        )
    return reasons


def _abilities(model: SmallModel, need: Need) -> list[str]:
    reasons = []
    if need.engine == "embedded" and model.family not in EMBEDDED_FAMILIES:
        reasons.append(f"the embedded engine does not run model type {model.family!r}")
    if not model.chat:
        reasons.append("its tokenizer has no chat template")
    if need.tools and model.tool_calling is False:
        reasons.append("it was not trained to call tools, and is not to be trained here")
    missing = sorted(set(need.languages) - set(model.languages))
    if missing:
        reasons.append(f"its card does not name the languages {', '.join(missing)}")
    return reasons
