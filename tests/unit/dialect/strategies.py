"""What the property tests of the dialects draw from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from offramp.core.call import Answer, ToolCall

if TYPE_CHECKING:
    from offramp.core.json import JsonObject

# Letters, emoji, the separators that JavaScript once took for newlines; no lone surrogates.
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\u2028\x85\r\n🎉é"), max_size=30)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
CALLS = st.builds(ToolCall, NAMES, st.dictionaries(NAMES, VALUES, max_size=3))
ANSWERS = st.builds(Answer, TEXTS, st.lists(CALLS, max_size=3).map(tuple))

_WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        "type role content text input output name id index delta message messages usage error choices "
        "finish_reason tool_use tool_result tool_calls function function_call function_call_output "
        "call_id arguments system image source base64 url thinking reasoning summary status completed "
        "metadata user_id conversation tools tool_choice instructions format json_schema prompt partial "
        "stop_reason assistant user data embedding custom response item part content_block message_start "
        "content_block_start content_block_delta message_delta response.completed "
        "response.output_item.added output_text output_index",
    )
)
HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(allow_nan=False)
    | _WORDS
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=5),
    max_leaves=25,
)
"""JSON that looks like a provider's and holds anything."""

BODIES = st.dictionaries(_WORDS, HOSTILE, max_size=6)


def reworded(stream: bytes, newline: bytes, comment: bytes) -> bytes:
    """Write a stream as another server would: other newlines, comments between the events."""
    return stream.replace(b"\n\n", b"\n" + comment + b"\n").replace(b"\n", newline)


def said(completion: JsonObject) -> Any:
    """What a completion's choices say, without ids."""
    return [
        (choice["message"].get("content"), choice["message"].get("tool_calls"), choice["finish_reason"])
        for choice in completion["choices"]
    ]
