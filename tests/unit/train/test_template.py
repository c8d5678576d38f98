from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp.engine.template_specialist import Pattern, Rule, Slot
from offramp.train.template import LEAST_SUPPORT, Lesson, coverage, learn_templates, slotted

WORDS = ("blue", "harbour", "Zoë", "tin-can", "9", "42nd", 'qu"ote', "naïve", "x", "straße", "a.b", "O'Neil")
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
BODIES = st.dictionaries(
    st.sampled_from("abc"),
    st.one_of(TEXTS, st.integers(-99, 99), st.booleans(), st.none(), st.lists(TEXTS, max_size=2)),
    max_size=3,
)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def lessons(*pairs: tuple[str, str], task: str = "t") -> list[Lesson]:
    return [Lesson(task, f"s{number}", *pair) for number, pair in enumerate(pairs)]


def alarms(*times: str) -> list[Lesson]:
    return lessons(*((f"wake me up at {time}", f"alarm {compact({'time': time})}") for time in times))


def said(rules: list[Rule], payload: str) -> str | None:
    return next((text for rule in rules if (text := Pattern(rule).apply(payload)) is not None), None)


def test_a_form_of_words_is_learned_with_its_slot() -> None:
    rules = learn_templates(alarms("seven", "noon", "midnight", "eight"))
    assert said(rules, "wake me up at dawn") == 'alarm {"time":"dawn"}'
    assert said(rules, "what is the time") is None


def test_a_lesson_that_may_not_be_said_again_proposes_no_rule_and_judges_those_of_others() -> None:
    kept = lessons(*((f"{word} my door", "open") for word in ("mind", "shut", "lock")))
    secret = [replace(one, completion="493817", kept=False) for one in kept * 3]
    assert said(learn_templates(kept), "paint my door") == "open"
    assert learn_templates([*kept, *secret]) == []


def test_values_of_several_words_are_copied_whole() -> None:
    rules = learn_templates(alarms("half past seven", "ten to nine", "six in the morning"))
    assert said(rules, "wake me up at a quarter to four") == 'alarm {"time":"a quarter to four"}'


def test_what_stands_around_the_words_may_differ() -> None:
    pairs = [(f"{w} please turn on the {r} lamp {w}", f'on {{"room":"{r}"}}')
             for w, r in (("hi", "hall"), ("so", "attic"), ("oh", "cellar"), ("ey", "porch"))]  # fmt: skip
    rules = learn_templates(lessons(*pairs))
    assert said(rules, "would you please turn on the garage lamp now") == 'on {"room":"garage"}'


def test_two_slots_keep_their_places_whatever_their_order_in_the_answer() -> None:
    pairs = [(f"from {a} to {b}", compact({"to": b, "from": a}))
             for a, b in (("Rome", "Oslo"), ("Bonn", "Kyiv"), ("Lima", "Bern"))]  # fmt: skip
    assert said(learn_templates(lessons(*pairs)), "from Paris to Cairo") == '{"to":"Cairo","from":"Paris"}'


def test_numbers_are_copied_as_numbers() -> None:
    rules = learn_templates(lessons(*((f"dim to {n}", f'dim {{"level":{n}}}') for n in (5, 30, 77))))
    assert said(rules, "dim to 12") == 'dim {"level":12}'
    assert said(rules, "dim to 007") is None


def test_digits_that_are_not_copied_stand_for_any_digits() -> None:
    pairs = [(f"ticket 00{n}: door {word}", f'{{"state":"{word}"}}')
             for n, word in ((1, "open"), (2, "shut"), (3, "stuck"))]  # fmt: skip
    assert said(learn_templates(lessons(*pairs)), "ticket 994: door gone") == '{"state":"gone"}'


def test_words_that_tell_a_label_are_learned() -> None:
    pairs = [(f"{f} my invoice {f}", "billing") for f in "abcd"] + [
        (f"{f} my parcel {f}", "post") for f in "efgh"
    ]
    rules = learn_templates(lessons(*pairs))
    assert said(rules, "where is my invoice today") == "billing"
    assert said(rules, "where is my parcel today") == "post"


def test_a_pattern_that_is_often_wrong_is_not_kept() -> None:
    pairs = [(f"flip {n}", "heads" if n % 2 else "tails") for n in range(40)]
    assert learn_templates(lessons(*pairs)) == []


def test_support_is_counted_in_sessions() -> None:
    many = alarms("seven", "noon", "midnight", "eight")
    assert learn_templates([Lesson("t", "one", lesson.payload, lesson.completion) for lesson in many]) == []


def test_tasks_do_not_share_rules() -> None:
    other = [
        Lesson("u", lesson.session, lesson.payload, "none {}") for lesson in alarms("seven", "noon", "ten")
    ]
    rules = learn_templates([*alarms("seven", "noon", "ten"), *other])
    assert {rule.task for rule in rules} == {"t", "u"}
    assert {said([r], "wake me up at six") for r in rules if r.task == "u"} <= {"none {}", None}


def test_the_same_lessons_give_the_same_rules_in_any_order() -> None:
    some = [*alarms("seven", "noon", "ten", "six"), *lessons(("stop it", "stop {}"), ("stop now", "stop {}"))]
    shuffled = random.Random(1).sample(some, len(some))
    assert learn_templates(shuffled) == learn_templates(some)


def test_coverage_counts_what_is_answered_and_what_is_right() -> None:
    rules = [Rule("t", "^on$", ("yes",), 3, 3)]
    seen = lessons(("on", "yes"), ("on", "no"), ("off", "no"), ("off", "no"))
    assert coverage(rules, seen) == (0.5, 0.5)
    assert coverage(rules, []) == (0.0, 0.0)


@settings(max_examples=200)
@given(TEXTS, BODIES, st.sampled_from(("", "tool ")))
def test_pieces_and_copies_give_the_completion_back(payload: str, body: object, name: str) -> None:
    completion = name + compact(body)
    pieces, copies = slotted(payload, completion)
    filled = (p.fill(copies[p.group - 1].text) if isinstance(p, Slot) else p for p in pieces)
    assert "".join(text or "" for text in filled) == completion
    assert all(payload[copy.start : copy.end] == copy.text for copy in copies)
    assert all(a.end <= b.start for a, b in itertools.pairwise(copies))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, BODIES), min_size=1, max_size=12))
def test_every_rule_is_right_as_often_as_it_says(pairs: list[tuple[str, object]]) -> None:
    seen = lessons(*((payload, compact(body)) for payload, body in pairs * 3))
    for rule in learn_templates(seen):
        texts = [(Pattern(rule).apply(lesson.payload), lesson.completion) for lesson in seen]
        hits = [text == wanted for text, wanted in texts if text is not None]
        assert (sum(hits), len(hits)) == (rule.right, rule.hits)
        assert rule.right >= LEAST_SUPPORT


@pytest.mark.parametrize("text", ["", "plain text", "{broken", "[1,2]", '{"a": 1}', "\ue0001\ue001"])
def test_a_completion_of_another_form_is_one_piece(text: str) -> None:
    assert slotted("nothing of it", text) == ((text,), ())
