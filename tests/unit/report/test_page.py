from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offramp.report.page import render_page
from offramp.report.results import Discovery, Interval, TaskResult
from offramp.report.summary import Costs, Point, RiskCurve, Summary

HOSTILE = (
    "</title></style><script>alert(1)</script>",
    '" onload="alert(1)',
    "' onmouseover='alert(1)",
    "<img src=x onerror=alert(1)>",
    "]]><svg onload=alert(1)>",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    "null \x00 escape \x1b[31m bell \x07",
    "half a pair \ud83d",
    "W" * 5000,
    "\n\n\t  ",
    "",
    "日本語のタスク",
)

ELEMENTS = set(
    re.findall(
        r"\w+",
        "html head meta title style body main header section div p h1 h2 h3 a small span strong ul li dl dt "
        "dd figure figcaption table thead tbody tr th td svg desc text line rect circle path polyline",
    )
)


class Page(HTMLParser):
    """Collects elements, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def renamed(summary: Summary, name: str) -> Summary:
    """Put a name everywhere where one may come from outside, on a page with two tasks."""
    task = replace(summary.tasks[0], name=name, reason=name, candidate=name, id=name, candidates={name: 0.5})
    return replace(
        summary,
        title=name,
        created=name,
        tasks=(task, summary.tasks[-1]),
        groups=(replace(summary.groups[0], id=name),),
        seconds={name: 1.0},
        curves=(replace(summary.curves[0], label=name),),
        notes=(name,),
        environment={name: name},
        plan={"device": name, "binding": name, "assumptions": [name]},
        costs=replace(summary.costs or Costs(1, 1), sentence=name, prices=(name,)),
    )


def svgs(html: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)]


def test_the_page_opens_with_the_result(sample: Summary) -> None:
    words = Page(render_page(sample)).words
    assert "offramp answered 45 % of 5,240 unseen calls; 1.7 % of those disagreed" in words


def test_the_page_loads_nothing_and_runs_nothing(sample: Summary) -> None:
    page = Page(render_page(sample))
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.elements)
    assert not [value for _, name, value in page.attributes if name in ("src", "srcset", "action")]
    assert {value for _, name, value in page.attributes if name == "href"} == {"#live", "#kept"}
    assert "url(" not in render_page(sample)
    assert "@import" not in render_page(sample)


def test_the_page_forbids_loading_and_running(sample: Summary) -> None:
    policies = [
        value
        for tag, name, value in Page(render_page(sample)).attributes
        if tag == "meta" and name == "content"
    ]
    assert any(value.startswith("default-src 'none'") for value in policies)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(sample: Summary, name: str) -> None:
    html = render_page(renamed(sample, name))
    page = Page(html)
    assert "script" not in page.elements
    assert "img" not in page.elements
    assert not [attribute for _, attribute, _ in page.attributes if attribute.startswith("on")]
    html.encode("utf-8")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_leave_the_drawings_well_formed(sample: Summary, name: str) -> None:
    assert len(svgs(render_page(renamed(sample, name)))) == 7


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=80))
def test_any_name_stays_text(sample: Summary, name: str) -> None:
    html = render_page(renamed(sample, f"<{name}"))
    assert set(Page(html).elements) <= ELEMENTS
    assert len(svgs(html)) == 7


def test_control_characters_and_direction_overrides_do_not_reach_the_page(sample: Summary) -> None:
    html = render_page(renamed(sample, "a\u202eb\x1bc\ud800d"))
    assert "a\ufffdb\ufffdc\ufffdd" in html


def test_every_drawing_has_a_title_and_a_description(sample: Summary) -> None:
    drawings = svgs(render_page(sample))
    assert len(drawings) == 7
    for drawing in drawings:
        ids = {
            element.get("id"): (element.text or "") for element in drawing if element.tag in ("title", "desc")
        }
        assert drawing.get("role") == "img"
        assert drawing.get("aria-labelledby", "").split() == list(ids)
        assert all(ids.values())


def test_ids_are_unique(sample: Summary) -> None:
    ids = [value for _, name, value in Page(render_page(sample)).attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_a_table_cell_on_a_phone_has_its_label(sample: Summary) -> None:
    page = Page(render_page(sample))
    assert page.elements.count("td") == sum(name == "data-label" for _, name, _ in page.attributes)


def test_refused_tasks_say_what_is_missing(sample: Summary) -> None:
    words = Page(render_page(sample)).words
    assert "Kept on the LLM: 3 tasks" in words
    assert "about 18 more calibration calls could certify it" in words
    assert "a better candidate: the best, extractive (MiniLM), agrees on 41 %" in words


def test_what_was_learned_from_and_where_answers_differ_is_said(sample: Summary) -> None:
    words = Page(render_page(sample)).words
    assert "calibration 1,990" in words
    assert "cut off by the token limit: 3" in words
    assert "no answer" not in words
    assert "/email_sendemail/person missing: 61 (3.1 %)" in words
    assert "and 1 more place" in words
    assert "/news_query/date" not in words
    without = Page(render_page(replace(sample, learning=()))).words
    assert "where answers differ" not in without


def test_a_member_above_the_promise_is_named(sample: Summary) -> None:
    words = Page(render_page(sample)).words
    assert "Above the promise on their own: home assistant: calendar_remove 13 % (6 of 47" in words


def test_costs_are_shown_with_everything_they_take(sample: Summary) -> None:
    words = Page(render_page(sample)).words
    for part in ("calls handed back", "audits", "device, idle time included", "training, once"):
        assert part in words


def test_a_bill_that_grows_is_called_so(sample: Summary) -> None:
    costs = replace(sample.costs or Costs(1, 1), saving=-12.0, worth_it=False, dedicated_calls=None)
    words = Page(render_page(replace(sample, costs=costs))).words
    assert "Extra cost in 30 days" in words
    assert "not worth it at this volume" in words


def test_a_broken_promise_is_called_so(sample: Summary) -> None:
    html = render_page(replace(sample, risk=0.2, risk_interval=Interval(0.15, 0.25)))
    assert 'class="tile broken"' in html
    assert "promise broken" in html


def test_a_scan_without_unseen_calls_has_no_realised_figures(sample: Summary) -> None:
    tasks = tuple(
        replace(t, unseen_calls=None, answered_unseen=None, disagreements_unseen=None, risk=None)
        for t in sample.tasks
    )
    words = Page(render_page(Summary(calls_total=12_530, alpha=0.05, tasks=tasks))).words
    assert "Could leave the LLM: 19 tasks" in words
    assert "taken off" not in words.lower()
    assert "not yet measured on unseen calls" in words


def test_an_empty_summary_still_makes_a_page() -> None:
    page = Page(render_page(Summary()))
    assert "there is nothing to convert" in page.words
    assert "svg" not in page.elements


def test_many_tasks_are_drawn_up_to_a_point_and_listed_in_full() -> None:
    tasks = tuple(TaskResult(f"t{i}", f"task number {i}", calls=200 - i) for i in range(60))
    html = render_page(Summary(calls_total=10_000, tasks=tasks))
    assert "and 36 smaller tasks" in html
    assert Page(html).elements.count("tr") == 61


def test_points_of_the_caller_go_before_those_of_the_tasks(sample: Summary) -> None:
    points = (Point("only me", certified=0.04, realised=0.01, low=0.0, high=0.9, alpha=0.05),)
    drawing = render_page(replace(sample, points=points))
    assert "only me, certified at most 4" in drawing
    assert "group home (18 tasks), certified" not in drawing


def test_a_curve_without_points_is_left_out(sample: Summary) -> None:
    assert len(svgs(render_page(replace(sample, curves=(RiskCurve("empty", ()),))))) == 6


def test_a_perfect_discovery_is_shown_as_a_figure() -> None:
    html = render_page(Summary(discovery=Discovery(ari=1.0, tasks=3, call_sites=3)))
    assert "adjusted Rand index 1.000" in html


def test_dark_and_print_have_colours_of_their_own(sample: Summary) -> None:
    html = render_page(sample)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
