from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.discover.templates import Template, align, mine

FRAME = "You play a customer of a shop.\n\nInstruction: {}\n\nRules:\n- Say one line only.\n- Never tell all."
WORD = st.sampled_from(["red", "blue", "green", "one", "two", "you", "order", "shop", "the", "a"])
FILLING = st.lists(WORD, min_size=1, max_size=12).map(" ".join)
TEXT = st.lists(st.sampled_from(["a ", "b ", "c ", "d\n", "a\n"]), min_size=1, max_size=12).map(
    lambda words: "".join(words).strip()
)
OTHERS = [
    "Translate what follows into French and keep its tone.",
    "Write the minutes of a meeting from notes.\nUse bullet points.",
    "Grade an essay by the rubric below.\nBe strict but fair.",
]
INSTRUCTIONS = [
    "You want your money back and you are cross about it.",
    "Ask for the cheapest bicycle in the shop, then leave.",
    "You lost the receipt; be polite.",
    "Order four red chairs. If they are out of stock take blue ones, and pay by card.",
]


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_what_is_aligned_matches_every_text_it_came_from(texts: list[str]) -> None:
    template = align(texts)
    assert template is None or all(template.matches(text) for text in texts)


@given(st.lists(FILLING, min_size=3, max_size=12, unique=True), FILLING)
def test_a_mined_template_matches_an_unseen_filling(seen: list[str], unseen: str) -> None:
    # What all fillings open or close with is rightly part of the template.
    families = mine([FRAME.format(f"open{i} {f} close{i}") for i, f in enumerate(seen)], open_start=False)
    assert len(families) == 1
    assert sorted(families[0].members) == list(range(len(seen)))
    shared_inside = families[0].template.anchors[1:-1]
    assert shared_inside or families[0].template.matches(FRAME.format(f"an {unseen}"))


def test_prompts_of_a_template_are_found_among_others() -> None:
    texts = [*OTHERS, *map(FRAME.format, INSTRUCTIONS)]
    families = mine(texts, open_start=False)
    assert [sorted(family.members) for family in families] == [[3, 4, 5, 6]]
    assert families[0].template.matches(FRAME.format("Say nothing at all."))
    assert not families[0].template.matches(OTHERS[0])


@pytest.mark.parametrize(
    "text",
    [
        "Now " + FRAME.format("x y"),
        FRAME.format("x y") + " Goodbye.",
        FRAME.format("x y").replace("Rules:", "Advice:"),
        "",
    ],
)
def test_a_template_refuses_text_outside_its_slots(text: str) -> None:
    template = align([FRAME.format(one) for one in INSTRUCTIONS])
    assert template is not None
    assert template.matches(FRAME.format("x y"))
    assert not template.matches(text)


def test_anchors_may_not_overlap() -> None:
    template = Template(("say it again", "it again"), open_start=False, open_end=False)
    assert not template.matches("say it again")
    assert template.matches("say it again, it again")


def test_a_short_shared_opening_is_no_template() -> None:
    texts = [f"You are a helpful assistant.\n{other}" for other in OTHERS]
    assert mine(texts, open_start=False) == []


def test_a_short_opening_before_a_colon_is_one() -> None:
    texts = [f"Translate to French: {word} {word}" for word in ("cheese", "bread", "wine")]
    families = mine(texts, open_start=True)
    assert [len(family.members) for family in families] == [3]
    assert families[0].template.matches("Translate to French: good morning to you all")


def test_a_user_message_may_open_with_its_payload() -> None:
    ending = "\nAnswer the question above with yes or no, nothing else."
    texts = [f"{question}?{ending}" for question in ("Is it late", "Did it rain", "May we go")]
    assert [len(family.members) for family in mine(texts, open_start=True)] == [3]
    assert mine(texts, open_start=False) == []


def test_two_call_sites_in_one_outer_template_are_two_families() -> None:
    outer = "## Question\n{}\n## Instruction\nReason first, then give your answer in the form shown below."
    inner = "You are given a function and an assertion; complete the assertion with a literal.\n{}"
    questions = [f"How many {thing} are there in all" for thing in ("pens", "cups", "cars", "dogs")]
    code = [inner.format(f"def {name}(x): return x") for name in ("f", "g", "h", "k")]
    families = mine([outer.format(text) for text in [*questions, *code]], open_start=True)
    assert sorted(sorted(family.members) for family in families) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_order_of_the_texts_does_not_matter() -> None:
    texts = [*OTHERS, *map(FRAME.format, INSTRUCTIONS)]
    templates = {family.template for family in mine(texts, open_start=False)}
    assert {family.template for family in mine(texts[::-1], open_start=False)} == templates


def test_a_template_reads_as_text_with_slots() -> None:
    template = align(["Sell the red car to Ann today", "Sell the blue car to Bob today"])
    assert template is not None
    assert template.text == "Sell the <*>today"
    assert template.words == 3
