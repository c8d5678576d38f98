from __future__ import annotations

import json
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialect.strategies import ANSWERS

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.dialect.chat import fold
from offramp.dialect.codec import cut, events

if TYPE_CHECKING:
    from collections.abc import Iterator


def sse(*chunks: Any, end: str = "data: [DONE]\n\n", newline: str = "\n") -> bytes:
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end
    return text.replace("\n", newline).encode()


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def tool(index: int | None, arguments: str = "", **facts: str) -> dict[str, Any]:
    name = {"name": facts.pop("name")} if "name" in facts else {}
    item: dict[str, Any] = {**facts, "function": {**name, "arguments": arguments}}
    return delta(tool_calls=[item if index is None else {"index": index, **item}])


def answer(stream: bytes) -> Answer:
    found = answer_of(fold(stream).body)
    assert found is not None
    return found


def test_text_comes_together() -> None:
    stream = sse(
        delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"), delta("stop")
    )
    folded = fold(stream)
    assert folded.complete
    assert folded.body["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_newline_is_read(newline: str) -> None:
    assert answer(sse(delta(content="Hi"), delta("stop"), newline=newline)).text == "Hi"


@given(st.text())
def test_any_text_survives(text: str) -> None:
    half = len(text) // 2
    assert answer(sse(delta(content=text[:half]), delta(content=text[half:]), delta("stop"))).text == text


def test_comments_other_fields_and_a_byte_order_mark_are_skipped() -> None:
    stream = b"\xef\xbb\xbf: ping\n\nevent: message\nid: 1\n" + sse(delta(content="Hi"), delta("stop"))
    assert answer(stream).text == "Hi"


def test_data_over_several_lines_is_one_event() -> None:
    assert list(events(b"data: a\ndata: b\n\ndata:c")) == [b"a\nb", b"c"]


def test_a_missing_last_newline_loses_nothing() -> None:
    assert answer(sse(delta(content="Hi"), delta("stop"), end="data: [DONE]")).text == "Hi"


def test_usage_comes_from_a_chunk_without_choices() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    stream = sse(
        {"choices": [], "prompt_filter_results": []},
        delta("stop", content="x"),
        {"choices": [], "usage": usage},
    )
    assert fold(stream).body["usage"] == usage


def test_the_head_comes_from_the_first_chunk_that_has_it() -> None:
    body = fold(
        sse({"id": "", "model": "", "choices": []}, {"id": "c-1", "model": "m"} | delta("stop", content="x"))
    ).body
    assert (body["id"], body["model"], body["object"]) == ("c-1", "m", "chat.completion")


def test_a_tool_call_comes_together() -> None:
    stream = sse(
        tool(0, id="call_1", type="function", name="get"),
        tool(0, '{"ci'),
        tool(0, 'ty":"Oslo"}'),
        delta("tool_calls"),
    )
    assert answer(stream).tool_calls == (ToolCall("get", {"city": "Oslo"}),)
    assert fold(stream).body["choices"][0]["message"]["tool_calls"][0]["id"] == "call_1"


def test_a_whole_tool_call_in_one_delta_is_read() -> None:
    stream = sse(tool(0, '{"a":1}', id="call_1", name="f"), delta("tool_calls"))
    assert answer(stream).tool_calls == (ToolCall("f", {"a": 1}),)


def test_parallel_tool_calls_that_interleave_stay_apart() -> None:
    stream = sse(
        tool(0, id="a", name="f"),
        tool(1, id="b", name="g"),
        tool(1, '{"y":2}'),
        tool(0, '{"x":1}'),
        delta("tool_calls"),
    )
    assert answer(stream).tool_calls == (ToolCall("f", {"x": 1}), ToolCall("g", {"y": 2}))


def test_parallel_tool_calls_under_one_index_stay_apart() -> None:
    stream = sse(
        tool(0, '{"x":1}', id="a", name="f"),
        tool(0, '{"y":', id="b", name="g"),
        tool(0, "2}"),
        delta("tool_calls"),
    )
    assert answer(stream).tool_calls == (ToolCall("f", {"x": 1}), ToolCall("g", {"y": 2}))


def test_tool_calls_without_an_index_are_told_apart_by_id() -> None:
    stream = sse(
        tool(None, '{"x":', id="a", name="f"),
        tool(None, "1}"),
        tool(None, "{}", id="b", name="g"),
        delta("stop"),
    )
    assert answer(stream).tool_calls == (ToolCall("f", {"x": 1}), ToolCall("g", {}))


@pytest.mark.parametrize("names", [["get_weather", "get_weather"], ["get_", "weather"], ["get_weather", ""]])
def test_a_name_repeated_or_in_pieces_is_read(names: list[str]) -> None:
    stream = sse(*(tool(0, "", id="a", name=name) for name in names), tool(0, "{}"), delta("tool_calls"))
    assert answer(stream).tool_calls == (ToolCall("get_weather", {}),)


def test_the_old_function_call_form_is_read() -> None:
    stream = sse(
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": '{"a":1}'}),
        delta("function_call"),
    )
    assert answer(stream).tool_calls == (ToolCall("f", {"a": 1}),)


def test_several_choices_stay_apart() -> None:
    stream = sse(delta(content="a"), delta(content="b", index=1), delta("stop"), delta("stop", index=1))
    assert [c["message"]["content"] for c in fold(stream).body["choices"]] == ["a", "b"]


def test_a_refusal_and_unknown_text_come_together() -> None:
    stream = sse(delta(refusal="I ca"), delta(refusal="nnot", reasoning_content="hm"), delta("stop"))
    message = fold(stream).body["choices"][0]["message"]
    assert (message["refusal"], message["reasoning_content"], message["content"]) == ("I cannot", "hm", None)


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    folded = fold(sse(delta(content="The answer is 4"), end=""))
    assert not folded.complete
    assert answer_of(folded.body) is None
    assert folded.body["partial"][0]["message"]["content"] == "The answer is 4"


def test_done_does_not_make_part_of_an_answer_whole() -> None:
    assert not fold(sse(delta(content="The answer is 4"))).complete


def test_an_error_in_the_form_of_older_servers_is_no_answer() -> None:
    folded = fold(sse(delta(content="The"), {"object": "error", "message": "overloaded", "code": 500}))
    assert folded.body["error"]["message"] == "overloaded"


def test_an_error_in_the_middle_is_no_answer() -> None:
    folded = fold(sse(delta(content="The"), {"error": {"message": "overloaded"}}))
    assert not folded.complete
    assert folded.body["error"] == {"message": "overloaded"}
    assert answer_of(folded.body) is None


def test_a_stream_without_done_is_complete_when_every_choice_is() -> None:
    assert fold(sse(delta("stop", content="x"), end="")).complete


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_trouble(raw: bytes) -> None:
    assert not fold(raw).complete


def test_an_event_that_is_no_json_leaves_no_answer() -> None:
    folded = fold(b"data: nonsense\n\n" + sse(delta("stop", content="x")))
    assert not folded.complete
    assert folded.body["error"]["type"] == "unreadable_event"


def test_chunks_that_are_no_completion_are_skipped() -> None:
    stream = b"data: [1]\n\n" + sse({"choices": "x"}, {"choices": [None]}, delta("stop", content="x"))
    assert answer(stream).text == "x"


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[Answer], list[dict[str, Any]]]:
    """Answers of several choices, and the deltas of them all in any order that keeps each one's own."""
    answers = draw(st.lists(ANSWERS, min_size=1, max_size=3))
    queues = [list(deltas_of(answer, index)) for index, answer in enumerate(answers)]
    mixed: list[dict[str, Any]] = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        mixed.append(queue.pop(0))
    return answers, mixed


def deltas_of(answer: Answer, index: int) -> Iterator[dict[str, Any]]:
    yield delta(index=index, role="assistant", content=None)
    for letter in answer.text:
        yield delta(index=index, content=letter)
    for place, call in enumerate(answer.tool_calls):
        opening = {"index": place, "id": f"call_{place}", "type": "function", "function": {"name": call.name}}
        yield delta(index=index, tool_calls=[opening])
    # Parallel calls grow in turns.
    pieces = [cut(json.dumps(call.arguments)) for call in answer.tool_calls]
    for turn in zip_longest(*pieces):
        for place, piece in enumerate(turn):
            if piece is not None:
                yield delta(index=index, tool_calls=[{"index": place, "function": {"arguments": piece}}])
    yield delta("tool_calls" if answer.tool_calls else "stop", index)


def spread(stream: bytes) -> bytes:
    """Write each event's data over several lines, as the standard allows."""
    lines = [
        "\n".join(f"data: {line}" for line in json.dumps(json.loads(data), indent=1).split("\n"))
        for data in events(stream)
        if data != b"[DONE]"
    ]
    return "".join(f"{line}\n\n" for line in lines).encode()


@settings(max_examples=40)
@given(made=interleaved(), newline=st.sampled_from(["\n", "\r\n", "\r"]))
def test_choices_and_parallel_calls_that_interleave_come_apart(
    made: tuple[list[Answer], list[dict[str, Any]]], newline: str
) -> None:
    answers, deltas = made
    stream = sse(*deltas, newline=newline)
    for written in (stream, spread(stream)):
        folded = fold(written)
        assert folded.complete
        assert [answer_of({"choices": [choice]}) for choice in folded.body["choices"]] == answers


def test_fields_that_are_not_known_stay() -> None:
    first = {"id": "c", "provider": "x", "prompt_filter_results": [1]} | delta(
        content="a", audio={"id": "a1"}
    )
    last: dict[str, Any] = delta("stop", annotations=[1])
    last["choices"][0]["content_filter_results"] = {"hate": False}
    body = fold(sse(first, delta(annotations=[2]), last)).body
    choice = body["choices"][0]
    assert (body["provider"], body["prompt_filter_results"]) == ("x", [1])
    assert choice["message"]["annotations"] == [2, 1]
    assert choice["message"]["audio"] == {"id": "a1"}
    assert choice["content_filter_results"] == {"hate": False}


def test_log_probabilities_come_together() -> None:
    chunks = [delta(content="a"), delta("stop", content="b")]
    for number, chunk in enumerate(chunks):
        chunk["choices"][0]["logprobs"] = {"content": [number], "refusal": None}
    assert fold(sse(*chunks)).body["choices"][0]["logprobs"] == {"content": [0, 1], "refusal": None}


def test_a_custom_tools_call_comes_together() -> None:
    opening = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": ""}}
    more = [{"index": 0, "custom": {"input": piece}} for piece in ("SELECT ", "1")]
    stream = sse(*(delta(tool_calls=[item]) for item in (opening, *more)), delta("tool_calls"))
    custom = {"name": "sql", "input": "SELECT 1"}
    assert fold(stream).body["choices"][0]["message"]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": custom}
    ]


def test_further_fields_of_a_tool_call_stay() -> None:
    item = {
        "index": 0,
        "id": "c",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"s": "sig"},
    }
    call = fold(sse(delta("tool_calls", tool_calls=[item]))).body["choices"][0]["message"]["tool_calls"][0]
    assert call["extra_content"] == {"s": "sig"}


def test_thoughts_as_parts_and_speech_as_text_are_both_kept() -> None:
    thought = [{"type": "thinking", "thinking": "hm"}]
    stream = sse(delta(content=thought), delta(content="Yes"), delta("stop", content="."))
    content = fold(stream).body["choices"][0]["message"]["content"]
    assert content == [*thought, {"type": "text", "text": "Yes."}]


def test_usage_under_groqs_own_name_is_read() -> None:
    last: dict[str, Any] = delta("stop", content="x") | {"x_groq": {"usage": {"prompt_tokens": 3}}}
    assert fold(sse({"x_groq": {"id": "r"}, "choices": []}, last)).body["usage"] == {"prompt_tokens": 3}
