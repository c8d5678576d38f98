from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from offramp.core.call import answer_of
from offramp.dialect import FORMS

OLD = FORMS["/completions"]
EMBEDDINGS = FORMS["/embeddings"]


@pytest.mark.parametrize(
    ("prompt", "content"),
    [
        ("Say hi", "Say hi"),
        (["Say hi"], "Say hi"),
        (["a", "b"], [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        ([1, 2], [{"type": "tokens", "tokens": [1, 2]}]),
        ([[1], [2]], [{"type": "tokens", "tokens": [1]}, {"type": "tokens", "tokens": [2]}]),
    ],
)
def test_a_prompt_is_the_users_message(prompt: Any, content: Any) -> None:
    assert OLD.to_chat({"model": "m", "prompt": prompt, "best_of": 2}) == {
        "model": "m",
        "best_of": 2,
        "messages": [{"role": "user", "content": content}],
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"prompt": ["x"]}, ""),
        ({"prompt": ["x", "y"]}, "several prompts, or tokens"),
        ({"prompt": [1, 2]}, "several prompts, or tokens"),
        ({"n": 2}, "n > 1"),
        ({"best_of": 3}, "n > 1"),
        ({"logprobs": 0}, "logprobs asked for"),
        ({"echo": True}, "echo"),
        ({"suffix": "."}, "suffix"),
    ],
)
def test_what_an_answer_cannot_hold_is_named(fields: dict[str, Any], reason: str) -> None:
    assert OLD.beyond({"prompt": "x", **fields}) == reason


def sse(*chunks: Any, done: bool = True) -> bytes:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n" * done


def piece(text: str, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
    return {"id": "cmpl-1", "object": "text_completion", "choices": [choice]}


def test_a_stream_folds_into_its_completion() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    last = {"choices": [], "usage": usage}
    folded = OLD.fold(sse(piece("a"), piece("x", index=1), piece("b", "stop"), piece("", "length", 1), last))
    assert folded.complete
    assert [choice["text"] for choice in folded.body["choices"]] == ["ab", "x"]
    assert folded.body["usage"] == usage


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    folded = OLD.fold(sse(piece("a"), done=False))
    assert not folded.complete
    made = OLD.chat_response(folded.body)
    assert answer_of(made) is None
    assert made["partial"][0]["message"]["content"] == "a"


@pytest.mark.parametrize("odd", [{"error": {"message": "x"}}, None])
def test_an_error_or_garbage_leaves_no_answer(odd: Any) -> None:
    assert not OLD.fold(
        b"data: {\n\n" * (odd is None) + sse(piece("a", "stop"), *([odd] * (odd is not None)))
    ).complete


@pytest.mark.parametrize("body", [{"error": {"message": "no"}}, {}])
def test_what_is_no_completion_stays_as_it_is(body: dict[str, Any]) -> None:
    assert OLD.chat_response(body) == body


def test_a_request_for_embeddings_stays_and_is_never_answered() -> None:
    request = {"model": "m", "input": ["a", "b"], "dimensions": 3}
    assert EMBEDDINGS.to_chat(request) == request
    assert EMBEDDINGS.beyond(request) == "embeddings"


@pytest.mark.parametrize(
    "vector", [[0.5, 1.5, 2.5], base64.b64encode(struct.pack("<3f", 0.5, 1.5, 2.5)).decode()]
)
def test_of_vectors_only_the_shape_is_kept(vector: Any) -> None:
    rows = [{"object": "embedding", "index": index, "embedding": vector} for index in range(2)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    made = EMBEDDINGS.chat_response({"object": "list", "data": rows, "model": "m", "usage": usage})
    assert made == {"object": "list", "data": {"shape": [2, 3]}, "model": "m", "usage": usage}


def test_an_error_of_embeddings_stays_as_it_is() -> None:
    assert EMBEDDINGS.chat_response({"error": {"message": "no"}}) == {"error": {"message": "no"}}
