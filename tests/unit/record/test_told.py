from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.record.test_parse import exchange

from offramp.core.call import Answer, OutputType
from offramp.core.model import TeacherToken
from offramp.core.render import render_example
from offramp.record.parse import Parser
from offramp.record.told import MOST_TOKENS
from offramp.redact.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.core.call import Call

MAIL = "jane.roe@initech.com"
Item = dict[str, Any]


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(Redactor(b"k" * 32).redact, b"k" * 32)


def item(token: str, *others: str) -> Item:
    top = [{"token": text, "logprob": -1.0 - n, "bytes": [1]} for n, text in enumerate((token, *others))]
    return {"token": token, "logprob": -0.1, "bytes": [1], "top_logprobs": top}


def recorded(parser: Parser, items: Sequence[object], *, said: str | None = None, asked: str = "hi") -> Call:
    text = "".join(one["token"] for one in items if isinstance(one, dict)) if said is None else said
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": {"content": items}, "finish_reason": "stop"}
    return parser.parse(exchange({"messages": [{"role": "user", "content": asked}]}, {"choices": [choice]}))


def kept(call: Call) -> list[tuple[str, list[str]]]:
    (choice,) = call.response["choices"]
    content = choice.get("logprobs", {"content": []})["content"]
    return [(one["token"], [other["token"] for other in one["top_logprobs"]]) for one in content]


def said(call: Call) -> str:
    return str(call.response["choices"][0]["message"]["content"])


def test_what_masking_leaves_alone_keeps_its_alternatives(parser: Parser) -> None:
    call = recorded(parser, [item("bill", "tech"), item("ing")])
    assert call.response["choices"][0]["logprobs"]["content"][0] == {
        "token": "bill",
        "logprob": -0.1,
        "top_logprobs": [{"token": "bill", "logprob": -1.0}, {"token": "tech", "logprob": -2.0}],
    }
    example = render_example(call, Answer("billing"), hint="triage", output=OutputType.LABEL)
    assert example is not None
    assert example.told[0] == TeacherToken("bill", (("bill", -1.0), ("tech", -2.0)))


def test_a_stream_keeps_them_too(parser: Parser) -> None:
    pieces = [
        {
            "choices": [
                {"delta": {"content": text}, "logprobs": {"content": [item(text)]}, "finish_reason": end}
            ]
        }
        for text, end in (("bill", None), ("ing", "stop"))
    ]
    stream = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
    call = parser.parse(exchange(response=stream.encode(), content_type="text/event-stream", stream=True))
    assert kept(call) == [("bill", ["bill"]), ("ing", ["ing"])]


def test_what_masking_changed_is_one_token_of_the_masked_answer(parser: Parser) -> None:
    tokens = ["Write", " to", " jane", ".roe", "@in", "itech", ".com", ",", " please"]
    call = recorded(parser, [item(token, token.upper()) for token in tokens], asked=f"My address is {MAIL}")
    found = kept(call)
    assert "".join(token for token, _ in found) == said(call)
    assert [token for token, others in found if others] == ["Write", " to", ",", " please"]
    assert "jane" not in repr(call)
    example = render_example(call, Answer(said(call)), hint="t", output=OutputType.LABEL)
    assert example is not None
    assert len(example.told) == len(found)


def test_alternatives_that_tell_what_was_masked_are_dropped(parser: Parser) -> None:
    others = (" jane", "Roe", "initech", " bob@corp.com", "yes")
    call = recorded(parser, [item("no", *others)], asked=f"Is {MAIL} mine?")
    assert kept(call) == [("no", ["no", "yes"])]


@pytest.mark.parametrize(
    "items",
    [
        [{"token": "no", "logprob": -0.1}],
        [item("no"), item("pe")],
        [item("no"), "x"],
        [item("n"), {"token": "o"}],
        [item("n"), {"token": "o", "logprob": True}],
        [{"token": "no", "logprob": -math.inf, "top_logprobs": [{"token": "no", "logprob": -math.inf}]}],
        [item("")] * MOST_TOKENS + [item("no")],
        [],
        None,
        {},
    ],
)
def test_tokens_that_do_not_spell_the_answer_are_left_out(parser: Parser, items: Any) -> None:
    call = recorded(parser, items or [], said="no")
    assert "logprobs" not in call.response["choices"][0]
    assert said(call) == "no"


@pytest.mark.parametrize("response", [{"choices": 1}, {"choices": [1]}, {"choices": [{"logprobs": 3}]}])
def test_odd_responses_are_recorded_without(parser: Parser, response: Any) -> None:
    assert "logprobs" not in repr(parser.parse(exchange(None, response)).response)


secrets = st.sampled_from([MAIL, "4111 1111 1111 1111", "+1 415 555 2671", "AKIAZQ3DN4QXR7T2LMWP"])
words = st.lists(st.sampled_from([" the", "order", " -", "x", "é", "\n", " 7", "."]), max_size=6).map("".join)


@given(before=words, secret=secrets, after=words, cuts=st.lists(st.integers(1, 60), max_size=8))
def test_tokens_spell_the_masked_answer_wherever_they_are_cut(
    parser: Parser, before: str, secret: str, after: str, cuts: list[int]
) -> None:
    text = f"{before} {secret} {after}"
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    tokens = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    call = recorded(
        parser, [item(token, token.strip(), secret) for token in tokens], asked=f"It is {secret}."
    )
    found = kept(call)
    assert "".join(token for token, _ in found) == said(call)
    assert secret not in json.dumps(call.response, ensure_ascii=False)
    # A masked number keeps its form, such as the country's code.
    gone = [
        part for part in re.split(r"\W+", secret.lower()) if len(part) > 1 and part not in said(call).lower()
    ]
    assert gone
    for token, others in found:
        assert token in said(call)
        assert not any(part in other.lower() for other in others for part in gone)
