"""A scan's sentences, terminal output and page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from offramp.report.page import render_page
from offramp.report.results import Scan, TaskResult
from offramp.report.scan_charts import parts_of, traffic_bar
from offramp.report.scan_table import render_scan
from offramp.report.scan_words import limits, method, scan_headline, window
from offramp.report.summary import Costs, RiskCurve, Summary
from offramp.report.verdicts import Fate, called, leaving_share, ranked, share_of, verdict_on

FACTS = Scan(
    calls=12_530,
    sessions=11_000,
    days=30.0,
    minutes=5.0,
    skipped=2,
    skipped_at=("calls.jsonl, line 3", "calls.jsonl, line 7"),
    left_out=("tool calls: lora would take about 9 min, 2 min were left.",),
    command="offramp import calls.jsonl && offramp convert",
)


@pytest.fixture
def scan(sample: Summary) -> Summary:
    """The sample as a scan of a log: nothing was kept for a test, costs are shared out."""
    calls = sum(task.share_calls or 0.0 for task in sample.tasks)
    tokens = sum(task.share_tokens or 0.0 for task in sample.tasks)
    tasks = tuple(
        replace(
            task,
            share_calls=(task.share_calls or 0.0) / calls,
            share_tokens=(task.share_tokens or 0.0) / tokens,
            unseen_calls=None,
            answered_unseen=None,
            disagreements_unseen=None,
            risk=None,
            convertible=task.output != "text",
            share_cost=(task.share_tokens or 0.0) / tokens,
            exemplars=("turn off the light in the [room]",) if task.live else (),
            self_agreement=0.97 if task.output == "label" else None,
            untried={"lora": "no time: it takes about 9 min"} if task.output == "label" else {},
        )
        for task in sample.tasks
    )
    bare = replace(
        sample,
        calls_unseen=None,
        answered_unseen=None,
        coverage=None,
        disagreements=None,
        risk=None,
        tasks=tasks,
    )
    return replace(bare, scan=FACTS, curves=(replace(sample.curves[0], threshold=0.874), *_labelled(sample)))


def _labelled(sample: Summary) -> tuple[RiskCurve, ...]:
    return (replace(sample.curves[1], label="intent router: one of 64 labels"),)


def facts(summary: Summary, **changes: object) -> Scan:
    assert summary.scan is not None
    return replace(summary.scan, **changes)  # type: ignore[arg-type]  # the fields' own types


def quick(summary: Summary) -> Summary:
    tasks = tuple(
        TaskResult(
            task.id,
            task.name,
            task.calls,
            output=task.output,
            convertible=task.convertible,
            share_calls=task.share_calls,
            reason="Answers are single tool calls.",
        )
        for task in summary.tasks
    )
    return replace(summary, tasks=tasks, groups=(), curves=(), scan=facts(summary, quick=True, minutes=0.0))


def test_the_headline_says_share_risk_delta_and_money(scan: Summary) -> None:
    assert scan_headline(scan, FACTS) == (
        "45 % of these calls could leave the LLM at a certified risk of at most 5 % (delta 5 %), saving "
        "about $85.62 of $263 a month at this rate."
    )


def test_without_times_the_log_is_a_months_traffic(scan: Summary) -> None:
    assert scan_headline(scan, facts(scan, times="assumed")).endswith(
        "a month if this log is a month's traffic."
    )


def test_a_loss_is_called_one(scan: Summary) -> None:
    costs = Costs(llm_only=10.0, with_offramp=40.0, saving=-30.0, dedicated_calls=5000)
    told = scan_headline(replace(scan, costs=costs), FACTS)
    assert (
        "that does not pay: it costs $30.00 a month more than the LLM alone, but it would from 5,000" in told
    )
    never = scan_headline(replace(scan, costs=replace(costs, dedicated_calls=None)), FACTS)
    assert never.endswith("more than the LLM alone.")


def test_without_prices_there_is_no_money_in_the_headline(scan: Summary) -> None:
    bare = replace(scan, costs=None, plan=None)
    assert scan_headline(bare, FACTS).endswith("(delta 5 %).")


def test_where_nothing_certifies_the_headline_says_what_is_missing(scan: Summary) -> None:
    open_ = TaskResult("o", "open", convertible=True)
    kept = replace(scan, tasks=(*scan.kept, open_), groups=())
    assert scan_headline(kept, FACTS) == (
        "None of these 12,530 calls can leave the LLM at a certified risk of at most 5 % (delta 5 %) yet: "
        "1 task could with more calls, 1 task could not be tried in the time."
    )


def test_a_quick_scan_gives_a_ceiling(scan: Summary) -> None:
    told = scan_headline(quick(scan), facts(scan, quick=True))
    assert told.startswith(
        "93 % of these 12,530 calls give answers of a form that can be certified (21 of 22 tasks)"
    )
    none = replace(quick(scan), tasks=())
    assert scan_headline(none, facts(scan, quick=True)).startswith("None of 0 tasks in these 12,530 calls")


def test_the_limits_are_always_named(scan: Summary) -> None:
    told = " ".join(limits(scan, FACTS))
    assert "Agreement is not correctness" in told
    assert "only 36 % would be without a disagreement" in told
    assert "list prices" in told
    assert "--days" in " ".join(limits(scan, facts(scan, times="assumed")))
    assert "covers 6.0 hours only" in " ".join(limits(scan, facts(scan, days=0.25)))
    bare = limits(replace(scan, tasks=scan.kept, costs=None, plan=None), FACTS)
    assert not any("session" in line or "prices" in line for line in bare)


def test_the_method_names_the_test_and_the_split_of_delta(scan: Summary) -> None:
    assert "finite-sample test" in method(scan, FACTS)
    assert "split over all certificates" in method(scan, FACTS)
    assert "Nothing was trained" in method(scan, facts(scan, quick=True))


@pytest.mark.parametrize(
    ("times", "days", "shown"),
    [
        ("log", 12.4, "12 days of traffic"),
        ("log", 0.5, "12.0 hours of traffic"),
        ("given", 7.0, "7 days of traffic as you said"),
        ("assumed", 30.0, "no times in the log: taken for 30 days"),
    ],
)
def test_the_window_says_where_it_comes_from(scan: Summary, times: str, days: float, shown: str) -> None:
    assert window(facts(scan, times=times, days=days)) == shown


def test_every_task_has_a_fate_and_a_reason(scan: Summary) -> None:
    judged = {task.name: verdict_on(task) for task in scan.tasks}
    label = judged["intent router: one of 64 labels"]
    assert label.fate is Fate.LEAVES
    assert "could answer 63 % of it, certified to disagree on at most 3.9 % of those" in label.why
    member = judged["home assistant: alarm_set"]
    assert "Certified in its group" in member.why
    assert "Alone its bound would be" in member.why
    few = judged["home assistant: social_post"]
    assert (few.fate, few.chip) == (Fate.MORE, "more calls needed")
    assert few.why.startswith(
        "About 18 more calibration calls could certify it; the best candidate, extractive"
    )
    assert judged["airline agent: next action"].why.startswith("Too seldom sure and right")


def test_the_fates_of_what_was_not_tried() -> None:
    few = TaskResult("a", "a", calls_needed=9, reason="Too few calls.")
    untried = TaskResult("b", "b", convertible=True, reason="Labels.", untried={"lora": "no time"})
    text = TaskResult("c", "c", reason="Free text.")
    grouped = TaskResult("d", "d", candidates={"lora": 0.4}, scope="group", reason="Always deferred.")
    assert [verdict_on(task).fate for task in (few, untried, text, grouped)] == [
        Fate.MORE,
        Fate.OPEN,
        Fate.STAYS,
        Fate.STAYS,
    ]
    assert verdict_on(untried).why == "Labels. lora: no time"
    assert verdict_on(grouped).why.startswith("Always deferred. In its group")


def test_kinds_are_called_by_name_or_by_their_own() -> None:
    assert (called("classifier"), called("oracle"), called("")) == ("a classifier", "oracle", "a specialist")


def test_the_dearest_task_stands_first(scan: Summary) -> None:
    order = [share_of(task, scan) for task, _ in ranked(scan)]
    assert order == sorted(order, reverse=True)
    assert ranked(scan)[0][0].name == "airline agent: next action"


def test_a_share_falls_back_on_tokens_and_then_on_calls() -> None:
    whole = Summary(calls_total=10)
    assert share_of(TaskResult("a", "a", share_tokens=0.4, share_cost=0.7), whole) == 0.7
    assert share_of(TaskResult("a", "a", share_tokens=0.4), whole) == 0.4
    assert share_of(TaskResult("a", "a", calls=5), whole) == 0.5
    assert share_of(TaskResult("a", "a", calls=5), Summary()) == 0.0


def test_the_parts_of_the_bar_are_all_of_the_traffic(scan: Summary) -> None:
    for measure in ("share_calls", "share_tokens", "share_cost"):
        assert sum(parts_of(scan, measure).values()) == pytest.approx(1.0)
    assert parts_of(scan, "share_calls")["leaves"] == pytest.approx(leaving_share(scan))
    assert parts_of(scan, "share_calls")["handed"] > 0


def test_the_bar_is_described_in_words(scan: Summary) -> None:
    drawn = traffic_bar(scan)
    assert drawn is not None
    assert "could leave the LLM, certified: 45 % of calls" in drawn.replace("\N{NO-BREAK SPACE}", " ")
    assert traffic_bar(Summary(tasks=(TaskResult("a", "a"),))) is None


def test_the_terminal_fits_and_says_what_matters(scan: Summary) -> None:
    text = render_scan(scan, FACTS, width=96)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 96
    assert lines[0].startswith("45 % of these calls could leave the LLM")
    assert lines[-1] == "Next: offramp import calls.jsonl && offramp convert"
    assert "could leave" in text
    assert "and 7 smaller tasks" in text
    assert "Left out: 2 broken lines (calls.jsonl, line 3; calls.jsonl, line 7)." in text
    assert "Left out: tool calls: lora would take about 9 min" in text
    assert "* one promise for the group" in text


def test_the_terminal_of_a_quick_scan_has_no_empty_columns(scan: Summary) -> None:
    text = render_scan(quick(scan), facts(scan, quick=True, times="assumed", skipped=9), width=20)
    assert "answered by" not in text
    assert "not tried yet" in text
    assert "(calls.jsonl, line 3; calls.jsonl, line 7 and others)" in " ".join(text.split())
    empty = render_scan(replace(quick(scan), tasks=()), facts(scan, quick=True))
    assert "No call recurs often enough to be a task." in empty


def test_many_reasons_are_cut_short(scan: Summary) -> None:
    tasks = tuple(TaskResult(f"t{n}", f"task {n}", reason=f"Reason {n}.") for n in range(9))
    assert "Further reasons are on the page" in render_scan(replace(scan, tasks=tasks, groups=()), FACTS)


class Reader(HTMLParser):
    """Notes what could load something, what has an id, and the order of headings."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object") or given.get("src"):
            self.loads.append(tag)
        if (given.get("href") or "#")[0] != "#":
            self.loads.append(str(given["href"]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))


def page_of(summary: Summary) -> tuple[str, Reader]:
    page = render_page(summary)
    reader = Reader()
    reader.feed(page)
    return page.replace("\N{NO-BREAK SPACE}", " "), reader


def test_the_page_is_small_loads_nothing_and_is_well_formed(scan: Summary) -> None:
    page, reader = page_of(scan)
    assert len(page) < 300_000
    assert reader.loads == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert reader.headings[0] == 1
    assert all(
        after - before <= 1 for before, after in zip(reader.headings, reader.headings[1:], strict=False)
    )


def test_the_page_holds_promise_evidence_exemplar_and_limits(scan: Summary) -> None:
    page, _ = page_of(scan)
    assert "45 % of these calls could leave the LLM" in page
    assert "On the 63 % of calls that logistic regression would answer, it disagrees" in page
    assert "for 18 tasks together" in page
    assert "a member may do worse" in page
    assert "turn off the light in the [room]" in page
    assert "on 97 % of repeated requests" in page
    assert "lora: no time: it takes about 9 min" in page
    assert "What this does not say" in page
    assert "calls.jsonl, line 3; calls.jsonl, line 7" in page
    assert "would need more calls first: home assistant: social_post" in page


def test_the_page_of_a_fruitless_scan_has_no_savings_and_no_promises(scan: Summary) -> None:
    page, reader = page_of(replace(scan, tasks=scan.kept, groups=()))
    assert "promises" not in reader.ids
    assert "savings" not in reader.ids
    assert "nothing is certified" in page
    assert "The LLM&#x27;s bill a month" in page


def test_the_page_of_a_quick_scan_says_that_nothing_was_tried(scan: Summary) -> None:
    page, _ = page_of(quick(scan))
    assert "at most 93 %" in page
    assert "21 of 22" in page
    assert "Find out what of it can be certified" in page


def test_the_page_of_an_empty_scan_stands(scan: Summary) -> None:
    page, _ = page_of(Summary(scan=facts(scan, quick=True), title=""))
    assert "No call recurs often enough" in page
    assert "and look again:" in page


def test_a_loss_and_a_missing_price_are_shown_as_such(scan: Summary) -> None:
    costs = Costs(llm_only=10.0, with_offramp=40.0, saving=-30.0, days=30)
    assert "Extra cost a month" in page_of(replace(scan, costs=costs))[0]
    unpriced = tuple(replace(task, share_cost=None) for task in scan.tasks)
    page, _ = page_of(replace(scan, tasks=unpriced, costs=None, plan=None))
    assert "of the tokens" in page
    assert "Share of tokens" in page


def test_names_cannot_break_out(scan: Summary) -> None:
    evil = replace(scan.tasks[0], name="<script>alert(1)</script>", exemplars=("<img src=x onerror=y>",))
    _, reader = page_of(replace(scan, tasks=(evil, *scan.tasks[1:])))
    assert reader.loads == []


def test_a_long_list_of_tasks_is_cut_and_says_so(scan: Summary) -> None:
    tasks = tuple(TaskResult(f"t{n}", f"task {n}", calls=1, reason="Free text.") for n in range(75))
    assert "And 15 smaller tasks" in page_of(replace(scan, tasks=tasks, groups=()))[0]


def test_a_scan_survives_json(scan: Summary) -> None:
    assert Summary.from_dict(scan.to_dict()) == scan
