"""The providers' own clients read a specialist's answer without complaint, in every dialect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import openai
import pytest

from offramp.core.call import Answer, ToolCall, answer_of
from offramp.dialect import FORMS, Form, completion_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import BaseModel

CHAT, RESPONSES, MESSAGES, OLD = (
    FORMS[path] for path in ("/chat/completions", "/responses", "/messages", "/completions")
)
ASKED: Any = [{"role": "user", "content": "hello"}]
TEXTS = [Answer("Grüße, 🎉\u2028\r\n\nyou!"), Answer("x"), Answer('{"to": "Oslo"}')]
CALLS = [
    Answer(tool_calls=(ToolCall("book", {"to": "Zürich", "seats": 2, "by": None}),)),
    Answer("I look.", (ToolCall("a", {}), ToolCall("b", {"x": [1.5, {"y": True}]}))),
]
answers = pytest.mark.parametrize("answer", [*TEXTS, *CALLS, Answer()])


def reply(form: Form, answer: Answer, body: bytes) -> tuple[str, bytes]:
    request = json.loads(body)
    completion = completion_of(answer, form.to_chat(request), created=1.7e9)
    content_type, made = form.render(completion, request)
    return content_type.decode(), made


def reading(form: Form, made: BaseModel) -> Answer | None:
    return answer_of(form.chat_response(made.model_dump()))


@pytest.fixture
def openais(answer: Answer) -> Iterator[Callable[..., openai.OpenAI]]:
    """Clients that check every field's type; ``strict=False`` where the API itself breaks its types."""
    opened: list[httpx2.Client] = []

    def client(form: Form, *, strict: bool = True) -> openai.OpenAI:
        def handle(request: httpx2.Request) -> httpx2.Response:
            content_type, body = reply(form, answer, request.content)
            return httpx2.Response(200, headers={"content-type": content_type}, content=body)

        opened.append(httpx2.Client(transport=httpx2.MockTransport(handle)))
        return openai.OpenAI(
            api_key="k",
            base_url="http://teacher/v1",
            http_client=opened[-1],
            _strict_response_validation=strict,
        )

    yield client
    for one in opened:
        one.close()


@pytest.fixture
def anthropics(answer: Answer) -> Iterator[anthropic.Anthropic]:
    def handle(request: httpx2.Request) -> httpx2.Response:
        content_type, body = reply(MESSAGES, answer, request.content)
        return httpx2.Response(200, headers={"content-type": content_type}, content=body)

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as transport:
        yield anthropic.Anthropic(
            api_key="k", base_url="http://teacher", http_client=transport, _strict_response_validation=True
        )


@answers
def test_a_chat_completion_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    made = openais(CHAT).chat.completions.create(model="m", messages=ASKED)
    assert reading(CHAT, made) == answer
    assert made.usage is not None


@answers
def test_a_chat_stream_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    options: Any = {"include_usage": True}
    with openais(CHAT).chat.completions.stream(model="m", messages=ASKED, stream_options=options) as stream:
        made = stream.get_final_completion()
    assert reading(CHAT, made) == answer
    assert made.usage is not None


@pytest.mark.parametrize("answer", [CALLS[0]])
def test_an_old_function_call_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    functions: Any = [{"name": "book", "parameters": {"type": "object"}}]
    made = openais(CHAT).chat.completions.create(model="m", messages=ASKED, functions=functions)
    assert made.choices[0].message.function_call is not None
    assert reading(CHAT, made) == answer


@answers
def test_a_response_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    made = openais(RESPONSES).responses.create(
        model="m", input="hello", temperature=0.5, instructions="Help."
    )
    assert reading(RESPONSES, made) == answer
    assert (made.output_text, made.temperature, made.instructions) == (answer.text, 0.5, "Help.")


@answers
def test_a_response_stream_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    with openais(RESPONSES).responses.stream(model="m", input="hello") as stream:
        events = list(stream)
        made = stream.get_final_response()
    assert reading(RESPONSES, made) == answer
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(said) == answer.text


@answers
def test_a_message_is_read(answer: Answer, anthropics: anthropic.Anthropic) -> None:
    made = anthropics.messages.create(model="m", max_tokens=9, messages=ASKED)
    assert reading(MESSAGES, made) == answer
    assert made.stop_reason == ("tool_use" if answer.tool_calls else "end_turn")


@answers
def test_a_message_stream_is_read(answer: Answer, anthropics: anthropic.Anthropic) -> None:
    with anthropics.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
        said = "".join(stream.text_stream)
        made = stream.get_final_message()
    assert (reading(MESSAGES, made), said) == (answer, answer.text)


@pytest.mark.parametrize("answer", TEXTS)
def test_an_old_completion_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    assert reading(OLD, openais(OLD).completions.create(model="m", prompt="hello")) == answer


@pytest.mark.parametrize("answer", TEXTS)
def test_an_old_completion_stream_is_read(answer: Answer, openais: Callable[..., openai.OpenAI]) -> None:
    # The API sends no finish reason until the end, against the client's own types.
    with openais(OLD, strict=False).completions.create(model="m", prompt="hello", stream=True) as stream:
        pieces = [piece.choices[0] for piece in stream]
    assert "".join(piece.text for piece in pieces) == answer.text
    assert pieces[-1].finish_reason == "stop"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 503])
def test_an_error_is_the_clients_own_exception(status: int) -> None:
    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json=CHAT.error(status, "No.", "invalid_request_error", "word"))

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as transport:
        client = openai.OpenAI(
            api_key="k", base_url="http://teacher/v1", http_client=transport, max_retries=0
        )
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="m", messages=ASKED)
    assert (caught.value.status_code, caught.value.code) == (status, "word")


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 503, 529])
def test_an_error_of_messages_is_the_clients_own_exception(status: int) -> None:
    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json=MESSAGES.error(status, "No.", "invalid_request_error", "word"))

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as transport:
        client = anthropic.Anthropic(
            api_key="k", base_url="http://teacher", http_client=transport, max_retries=0
        )
        with pytest.raises(anthropic.APIStatusError) as caught:
            client.messages.create(model="m", max_tokens=9, messages=ASKED)
    assert caught.value.status_code == status
    assert "No." in caught.value.message
