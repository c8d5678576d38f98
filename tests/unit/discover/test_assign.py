from __future__ import annotations

import pytest

from offramp.core.errors import BadInput
from offramp.discover.assign import Assigner, Rule
from offramp.discover.signature import SignatureReader
from offramp.discover.templates import Template

REQUEST = {"messages": [{"role": "system", "content": "Sell the red car today."}]}
SIGNATURE = SignatureReader().read(REQUEST)
LOOSE = Template(("Sell the ",), open_start=False, open_end=True)
TIGHT = Template(("Sell the ", "car today."), open_start=False, open_end=False)


def assigner(
    *rules: Rule, exact: dict[str, str] | None = None, rest: dict[str, str] | None = None
) -> Assigner:
    return Assigner(exact or {}, rules, rest or {}, {})


def test_a_known_signature_comes_before_any_template() -> None:
    known = assigner(Rule(SIGNATURE.bucket, TIGHT, "t-template"), exact={SIGNATURE.key: "t-exact"})
    assert known.assign(REQUEST) == "t-exact"


@pytest.mark.parametrize("order", [1, -1])
def test_the_template_with_more_fixed_words_wins(order: int) -> None:
    rules = [Rule(SIGNATURE.bucket, LOOSE, "t-loose"), Rule(SIGNATURE.bucket, TIGHT, "t-tight")]
    assert assigner(*rules[::order]).assign(REQUEST) == "t-tight"


def test_a_template_of_another_bucket_does_not_apply() -> None:
    assert assigner(Rule("system|other-tools|", TIGHT, "t")).assign(REQUEST) is None


def test_what_nothing_else_takes_goes_to_the_rest() -> None:
    assert assigner(rest={SIGNATURE.bucket: "t-rest"}).assign(REQUEST) == "t-rest"


def test_an_assigner_survives_being_stored() -> None:
    made = Assigner(
        {"k": "t-1"}, [Rule(SIGNATURE.bucket, TIGHT, "t-2")], {"b": "t-3"}, {SIGNATURE.key: {"w": "t-4"}}
    )
    assert Assigner.from_dict(made.to_dict()).to_dict() == made.to_dict()


def test_an_assigner_of_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(BadInput, match="schema 99") as refused:
        Assigner.from_dict({"schema": 99})
    assert "offramp tasks" in refused.value.hint
