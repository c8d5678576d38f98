import pytest
from bench.gateway import answers
from bench.gateway.load import fault
from bench.gateway.teacher import streams


def test_the_upstreams_own_answers_have_no_fault() -> None:
    assert fault(200, answers.chat(), stream=False) == ""
    assert fault(200, b"".join(answers.chat_events()), stream=True) == ""


def test_an_answer_with_another_text_is_bad() -> None:
    assert "not the upstream's" in fault(200, answers.chat().replace(b"Friday", b"Monday"), stream=False)


def test_an_error_is_bad_whatever_it_says() -> None:
    assert fault(502, answers.chat(), stream=False).startswith("status 502")


def test_a_stream_with_one_event_too_few_or_too_many_is_bad() -> None:
    events = answers.chat_events()
    assert fault(200, b"".join([*events[:5], *events[6:]]), stream=True).startswith("62 of 63")
    assert fault(200, b"".join([*events[:5], *events[4:]]), stream=True).startswith("64 of 63")


def test_a_stream_without_its_end_is_bad() -> None:
    assert "[DONE]" in fault(200, b"".join(answers.chat_events()[:-1]), stream=True)


def test_the_stream_has_the_events_that_the_figures_are_divided_by() -> None:
    assert len(answers.chat_events()) == answers.EVENTS


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"stream":true}', True),
        (b'{"stream": true}', True),
        (b'{"stream":false}', False),
        (b'{"stream_options":{}}', False),
        (b"{}", False),
    ],
)
def test_the_upstream_sees_in_any_spacing_whether_a_stream_is_asked_for(body: bytes, wanted: bool) -> None:
    assert streams(body) is wanted
