"""What holds in every dialect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialect.strategies import ANSWERS, BODIES, HOSTILE, TEXTS, reworded

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.dialect import FORMS, completion_of, form_of
from offramp.discover.signature import SignatureReader

if TYPE_CHECKING:
    from offramp.dialect import Form

_CHATS = ("/chat/completions", "/responses", "/messages")
_ALL = (*_CHATS, "/completions", "/embeddings")
_NEWLINES = st.sampled_from([b"\n", b"\r\n", b"\r"])
_COMMENTS = st.sampled_from([b"", b": keep-alive\n", b"id: 7\n", b"retry: 3\n: x\n"])

chats = pytest.mark.parametrize("form", [FORMS[path] for path in _CHATS], ids=lambda form: str(form.dialect))
all_forms = pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: str(form.dialect))


def rendered(form: Form, answer: Answer, *, stream: bool = False, **fields: Any) -> bytes:
    request = {"model": "m", "stream": stream, **fields}
    return form.render(completion_of(answer, form.to_chat(request), created=1.7e9), request)[1]


def read(form: Form, body: bytes) -> Answer | None:
    return answer_of(form.chat_response(json.loads(body)))


def folded(form: Form, stream: bytes) -> Answer | None:
    return answer_of(form.chat_response(form.fold(stream).body))


def test_every_path_has_its_form() -> None:
    assert sorted(FORMS) == sorted(_ALL)
    assert all(form_of(form.dialect) is form for form in FORMS.values())


@chats
@settings(max_examples=50)
@given(answer=ANSWERS)
def test_an_answer_survives_its_body(form: Form, answer: Answer) -> None:
    assert read(form, rendered(form, answer)) == answer


@chats
@settings(max_examples=50)
@given(answer=ANSWERS, newline=_NEWLINES, comment=_COMMENTS)
def test_an_answer_survives_its_stream(form: Form, answer: Answer, newline: bytes, comment: bytes) -> None:
    stream = reworded(rendered(form, answer, stream=True), newline, comment)
    assert form.fold(stream).complete
    assert folded(form, stream) == answer


@chats
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_of_an_old_function_survives(form: Form, stream: bool) -> None:
    answer = Answer(tool_calls=(ToolCall("book", {"to": "Oslo"}),))
    body = rendered(form, answer, stream=stream, functions=[{"name": "book"}])
    assert (folded(form, body) if stream else read(form, body)) == answer


@settings(max_examples=50)
@given(text=TEXTS, stream=st.booleans())
def test_a_text_survives_the_old_completions(text: str, stream: bool) -> None:
    form = FORMS["/completions"]
    body = rendered(form, Answer(text), stream=stream)
    assert (folded(form, body) if stream else read(form, body)) == Answer(text)


@pytest.mark.parametrize("path", [*_CHATS, "/completions"])
@settings(max_examples=50)
@given(answer=ANSWERS)
def test_a_folded_stream_is_the_body_without_streaming(path: str, answer: Answer) -> None:
    form = FORMS[path]
    request = {"model": "m", "stream_options": {"include_usage": True}}
    completion = completion_of(answer, form.to_chat(request), created=1.7e9)
    whole = json.loads(form.render(completion, request)[1])
    assert form.fold(form.render(completion, request | {"stream": True})[1]).body == whole


@chats
@settings(max_examples=8)
@given(answer=ANSWERS)
def test_a_stream_cut_anywhere_gives_the_whole_answer_or_none(form: Form, answer: Answer) -> None:
    stream = rendered(form, answer, stream=True)
    for size in range(0, len(stream), 1 + len(stream) // 400):
        assert folded(form, stream[:size]) in (None, answer)


@all_forms
@settings(max_examples=50)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_folded_without_trouble(form: Form, raw: bytes) -> None:
    assert not form.fold(raw).complete
    form.chat_response(form.fold(raw).body)


@all_forms
@settings(max_examples=50)
@given(payloads=st.lists(HOSTILE, max_size=5))
def test_any_events_are_folded_without_trouble(form: Form, payloads: list[Any]) -> None:
    stream = "".join(f"data: {json.dumps(item)}\n\n" for item in payloads)
    form.chat_response(form.fold(stream.encode()).body)


@all_forms
@settings(max_examples=50)
@given(body=BODIES)
def test_any_body_is_translated_without_trouble_and_left_alone(form: Form, body: dict[str, Any]) -> None:
    before = json.dumps(body)
    form.to_chat(body)
    form.chat_response(body)
    form.beyond(body)
    assert json.dumps(body) == before


_SYSTEM, _ASKED = "You book trips. Today is 2026-11-24.", "To Oslo, please"
_SCHEMA = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
_USER = {"role": "user", "content": _ASKED}
_SAME_TASK = {
    "/chat/completions": {
        "messages": [{"role": "system", "content": _SYSTEM}, _USER],
        "tools": [{"type": "function", "function": {"name": "book", "parameters": _SCHEMA}}],
    },
    "/responses": {
        "instructions": _SYSTEM,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": _ASKED}]}],
        "tools": [{"type": "function", "name": "book", "parameters": _SCHEMA, "strict": False}],
    },
    "/messages": {
        "system": [{"type": "text", "text": _SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "messages": [_USER],
        "max_tokens": 99,
        "tools": [{"name": "book", "input_schema": _SCHEMA, "cache_control": {"type": "ephemeral"}}],
    },
}


def test_a_task_has_one_signature_in_every_dialect() -> None:
    read_one = SignatureReader().read
    assert len({read_one(FORMS[path].to_chat(body)) for path, body in _SAME_TASK.items()}) == 1  # type: ignore[arg-type] # bodies of several shapes


@settings(max_examples=50)
@given(texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_no_text_of_a_conversation_is_lost(texts: list[str]) -> None:
    for path, part in (("/messages", "text"), ("/responses", "input_text")):
        turns = [{"role": "user", "content": [{"type": part, "text": text}] * 2} for text in texts]
        made = FORMS[path].to_chat(
            {"messages": turns, "input": turns, "system": texts[0], "instructions": texts[0]}
        )
        found = json.dumps(made["messages"])
        assert all(json.dumps(text) in found for text in texts)
