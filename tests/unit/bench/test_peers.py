import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from bench.peers import tables, targets
from bench.peers.gates import Decided, joined, loosest
from bench.peers.measure import ALPHAS, OFFRAMP, TRACER, Measured, MemberView
from bench.peers.outcomes import Outcome, summarise
from bench.peers.splits import draw
from bench.peers.students import made_by
from bench.peers.traffic import Source, Traffic, class_of, embedded_text, load
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.call import Answer, ToolCall
from offramp.curate.split import Shares
from offramp.testing.traffic import Agent, calls_of

SHARES = Shares(train=0.4, validation=0.2, calibration=0.2, test=0.2)


@pytest.fixture
def traffic(tmp_path: Path) -> Traffic:
    agent = Agent(3)
    calls = calls_of(agent.route() for _ in range(300))
    rows = [{"id": call.id, "request": call.request, "response": call.response} for call in calls]
    with gzip.open(tmp_path / "calls.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    source = Source(
        "router",
        "a router",
        ("calls.jsonl.gz", "none"),
        "gpt-4o",
        lambda _: True,
        lambda name: str(int(name[1:]) // 2),
    )
    return load(source, tmp_path, bundled=False)


def test_a_split_parts_sessions_and_leaves_no_call_out(traffic: Traffic) -> None:
    drawn = draw(traffic, 0, SHARES)
    homes = {name: {row.call.session for row in rows} for name, rows in drawn.parts.items()}
    assert sum(map(len, homes.values())) == len(set.union(*homes.values())) == 150
    assert sum(map(len, drawn.parts.values())) + drawn.set_apart == len(traffic.rows)


def test_a_split_is_the_same_again_and_another_one_is_another(traffic: Traffic) -> None:
    assert draw(traffic, 1, SHARES).fingerprint == draw(traffic, 1, SHARES).fingerprint
    assert draw(traffic, 1, SHARES).fingerprint != draw(traffic, 2, SHARES).fingerprint


def test_students_learn_from_the_very_calls_of_the_split(traffic: Traffic) -> None:
    drawn = draw(traffic, 0, SHARES)
    dataset = drawn.dataset
    assert [item.call.id for item in dataset.parts["test"]] == [row.call.id for row in drawn.parts["test"]]
    assert dataset.parts["train"][0].example.prompt.startswith(f"{traffic.tasks[0].slug}: ")


def test_answers_are_compared_by_the_products_own_measure(traffic: Traffic) -> None:
    row = traffic.rows[0]
    assert traffic.agrees(row, Answer(text=f" {row.answer.text.upper()}."))
    assert not traffic.agrees(row, Answer(text="nobody"))
    assert not traffic.agrees(row, None)


def test_answers_have_one_class_whatever_the_order_of_their_arguments() -> None:
    one, other = ({"a": 1, "b": "x"}, {"b": "x", "a": 1})
    assert class_of(Answer(tool_calls=(ToolCall("f", one),))) == class_of(
        Answer(tool_calls=(ToolCall("f", other),))
    )
    assert class_of(Answer(text="SELECT  a\nFROM b")) == class_of(Answer(text="select a from b"))
    assert class_of(Answer(text="f")) != class_of(Answer(tool_calls=(ToolCall("f", {}),)))


def test_of_a_long_dialogue_the_end_is_embedded() -> None:
    messages = [{"role": "user", "content": "x" * 600}, {"role": "assistant", "content": "the end"}]
    assert embedded_text({"messages": messages}).endswith("assistant: the end")


def test_the_loosest_threshold_is_the_last_at_which_the_observed_risk_is_allowed() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    wrong = np.array([False, True, False, False, True])
    assert loosest(scores, wrong, 0.25) == 0.6
    assert loosest(scores, wrong, 0.4) == 0.5
    assert loosest(scores, np.ones(5, np.bool_), 0.4) == np.inf


def test_a_threshold_does_not_part_calls_of_equal_score() -> None:
    assert loosest(np.array([0.9, 0.9]), np.array([False, True]), 0.1) == np.inf


def test_calls_without_an_answer_are_never_above_a_threshold() -> None:
    assert loosest(np.zeros(3), np.zeros(3, np.bool_), 0.5) == np.inf


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), min_size=1, max_size=40), st.floats(0.01, 0.9)
)
def test_at_the_loosest_threshold_the_observed_risk_is_at_most_alpha(
    calls: list[tuple[float, bool]], alpha: float
) -> None:
    scores, wrong = np.array([one for one, _ in calls]), np.array([one for _, one in calls])
    answered = scores >= loosest(scores, wrong, alpha)
    assert wrong[answered].sum() <= alpha * answered.sum() + 1e-9


def test_joined_systems_answer_what_any_of_them_answers() -> None:
    left = Decided(np.array([True, False, False]), np.array([True, False, False]))
    right = Decided(np.array([False, True, False]), np.array([False, False, False]))
    both = joined([left, right], "two")
    assert both.answered.tolist() == [True, True, False]
    assert both.wrong.tolist() == [True, False, False]


def outcome(answered: int, wrong: int, tests: int = 1000) -> Outcome:
    return Outcome(tests, answered, wrong, usd=1.0, ms=(2.0, 4.0))


def test_a_split_is_broken_only_where_its_test_calls_prove_it() -> None:
    assert outcome(100, 6).above(0.05)
    assert not outcome(100, 6).broke(0.05)
    assert outcome(100, 11).broke(0.05)
    assert not outcome(0, 0).broke(0.05)


def test_splits_are_summed_up_by_calls() -> None:
    found = summarise([outcome(100, 20), outcome(300, 0), outcome(0, 0)], 0.1)
    assert (found.risk, found.risk_worst, found.served) == (0.05, 0.2, 2)
    assert (found.above, found.broke, found.splits) == (1, 1, 3)
    assert found.coverage_range == (0.0, 0.3)
    assert found.broke_share[0] < 1 / 3 < found.broke_share[1]
    assert (found.p50_ms, found.p95_ms) == (2.0, 4.0)


def test_what_answers_nothing_has_no_risk() -> None:
    assert math.isnan(summarise([outcome(0, 0)], 0.1).risk)


def measured(number: int, answered: dict[str, tuple[int, int]]) -> Measured:
    outcomes = {name: dict.fromkeys(ALPHAS, outcome(*counts)) for name, counts in answered.items()}
    members = {
        0.05: [
            MemberView("lights", 80, False, 10, 8, 1, False, 40),
            MemberView("fog", 9, True, 5, 0, 0, False, None),
        ]
    }
    return Measured(number, {"train": 2, "test": 1}, outcomes, members, {"classifier": 0.5})


def test_promises_that_peers_break_are_not_measured_against_them() -> None:
    runs = [measured(0, {OFFRAMP: (500, 5), TRACER: (900, 300)})]
    verdicts = {one.promise: one for one in targets.judge({"clinc150": tables.summaries(runs)})}
    assert verdicts["clinc150, alpha 5%: coverage above TRACER, where both hold"].word == "not measured"
    assert verdicts["clinc150, alpha 5%: broken in at most 5% of the splits"].word == "PASS"


def test_promises_pass_and_fail_by_what_was_measured() -> None:
    runs = [measured(0, {OFFRAMP: (600, 90), TRACER: (500, 1)})]
    verdicts = {one.promise: one.word for one in targets.judge({"home": tables.summaries(runs)})}
    assert verdicts["home, alpha 5%: broken in at most 5% of the splits"] == "FAIL"
    assert verdicts["home, group, alpha 5%: coverage at least 0.50 (aim 0.60)"] == "PASS"
    assert verdicts["home, group, alpha 10%: coverage at least 0.70 (aim 0.78)"] == "FAIL"


def test_each_member_stands_with_what_it_lacks() -> None:
    runs = [measured(0, {OFFRAMP: (500, 5)}), measured(1, {OFFRAMP: (500, 5)})]
    assert tables.member_rows(runs, 0.05) == [
        ["lights", "80", "0/2", "0.80", "0.125", "0/2", "40"],
        ["fog", "9", "2/2", "0.00", "-", "0/2", "- (no number helps in 2)"],
    ]


def test_the_page_holds_every_system_and_every_promise(traffic: Traffic) -> None:
    runs = [measured(0, {OFFRAMP: (500, 5), TRACER: (400, 1)})]
    verdicts = targets.judge({"router": tables.summaries(runs)})
    page = tables.page([(traffic, runs)], verdicts, "here")
    assert page.count("| TRACER |") == page.count("| offramp |") == len(ALPHAS)
    assert "### a router: 300 calls, 1 splits" in page
    assert all(one.promise in page for one in verdicts)


def test_other_code_makes_another_student(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    file = tmp_path / "engine/cache_specialist.py"
    file.write_text("one = 1")
    before = made_by("cache", tmp_path)
    file.write_text("one = 2")
    assert made_by("cache", tmp_path) != before
