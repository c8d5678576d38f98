"""A realistic summary: one group of tool tasks, one label task, three tasks that stay with the LLM."""

from __future__ import annotations

import random

import pytest

from offramp.report.results import Discovery, GroupResult, Learning, Sessions, TaskResult
from offramp.report.summary import BreakEven, Costs, CurvePoint, ReliabilityBin, RiskCurve, Summary

TOOLS = (
    "alarm_set",
    "alarm_query",
    "audio_volume_up",
    "audio_volume_mute",
    "calendar_set",
    "calendar_remove",
    "cooking_recipe",
    "datetime_query",
    "email_sendemail",
    "iot_hue_lightoff",
    "iot_hue_lightchange",
    "iot_cleaning",
    "lists_createoradd",
    "lists_remove",
    "music_query",
    "news_query",
    "play_radio",
    "weather_query",
)
TOTAL = 12_530


def _member(index: int, tool: str, rng: random.Random) -> TaskResult:
    unseen = rng.randint(90, 160)
    answered = round(unseen * rng.uniform(0.25, 0.8))
    bad = tool == "calendar_remove"
    errors = round(answered * (0.13 if bad else rng.uniform(0.0, 0.035)))
    calls = round(unseen * 2.6)
    return TaskResult(
        id=f"t-{index:04x}{rng.getrandbits(16):04x}",
        name=f"home assistant: {tool}",
        calls=calls,
        decision="specialist",
        candidate="extractive (MiniLM)",
        coverage=answered / unseen,
        risk=errors / answered,
        threshold=0.874,
        n_calibration=83,
        reason="certified in its group; 83 calls are too few for a certificate of its own",
        output="tool_call",
        share_calls=calls / TOTAL,
        share_tokens=calls * 1.3 / TOTAL,
        unseen_calls=unseen,
        answered_unseen=answered,
        disagreements_unseen=errors,
        scope="group",
        group="home",
        alpha=0.05,
        risk_upper=0.04 + rng.uniform(0.02, 0.09),
        calls_needed=rng.randint(60, 500),
        candidates={"extractive (MiniLM)": 0.79, "logistic regression": 0.61, "cache": 0.22},
    )


LABEL = TaskResult(
    id="t-1abe1000",
    name="intent router: one of 64 labels",
    calls=4980,
    decision="specialist",
    candidate="logistic regression",
    coverage=0.626,
    risk=0.0144,
    threshold=0.911,
    n_calibration=747,
    reason="certified at 0.911: 12 of 489 answered calibration calls disagree",
    output="label",
    share_calls=4980 / TOTAL,
    share_tokens=0.18,
    unseen_calls=1990,
    answered_unseen=1246,
    disagreements_unseen=18,
    scope="task",
    alpha=0.05,
    risk_upper=0.0394,
    candidates={"logistic regression": 0.87, "nearest neighbours": 0.84, "cache": 0.31},
)

KEPT = (
    TaskResult(
        id="t-a1b2c3d4",
        name="airline agent: next action",
        calls=1460,
        candidate="extractive (MiniLM)",
        reason="answers depend on the whole conversation; best validation agreement 0.41",
        output="tool_call",
        share_calls=1460 / TOTAL,
        share_tokens=0.52,
        unseen_calls=580,
        candidates={"extractive (MiniLM)": 0.41, "cache": 0.02},
    ),
    TaskResult(
        id="t-5e6f7a8b",
        name="SQL assistant: write the next query",
        calls=920,
        candidate="generative (nano base)",
        reason="free text: no candidate agrees often enough",
        output="text",
        share_calls=920 / TOTAL,
        share_tokens=0.21,
        unseen_calls=368,
        candidates={"generative (nano base)": 0.12},
    ),
    TaskResult(
        id="t-00c0ffee",
        name="home assistant: social_post",
        calls=132,
        candidate="extractive (MiniLM)",
        n_calibration=41,
        reason="no error in 41 calls still allows 7 % (95 %); 59 calls are needed for 5 %",
        output="tool_call",
        share_calls=132 / TOTAL,
        share_tokens=0.01,
        unseen_calls=61,
        calls_needed=18,
        candidates={"extractive (MiniLM)": 0.93, "cache": 0.2},
    ),
)

COSTS = Costs(
    llm_only=263.0,
    with_offramp=177.38,
    kept=38.2,
    deferred=81.62,
    audits=7.16,
    device=50.4,
    training_once=3.1,
    saving=85.62,
    calls=75_180,
    payback_days=1.1,
    utilisation=0.0008,
    dedicated_calls=27_850,
    break_even=(
        BreakEven(0.2, 25_179_428, 0.001331, 33_521.0, 2330),
        BreakEven(0.5, 62_948_571, 0.001332, 83_878.0, 2328),
        BreakEven(1.0, 125_897_142, 0.0013329, 167_807.0, 2327),
    ),
    worth_it=True,
    sentence="Worth it at 75,180 calls in 30 days: 85.62 USD of 263 USD saved (33 %), training repaid "
    "after 2 days; "
    "one cpu-laptop kept running pays for itself from 27,850 calls in 30 days.",
    prices=("gpt-4o-2024-08-06: 2.5 USD in, 1.25 cached, 10 out per 1M tokens, read 2026-11-23",),
)


def _curve(label: str, scale: float, chosen: float) -> RiskCurve:
    points = []
    for step in range(2, 41):
        coverage = step / 40
        risk = scale * coverage**2.6 + 0.004
        points.append(CurvePoint(coverage, risk, risk + 0.006 + 0.003 / coverage, 1 - step / 80))
    return RiskCurve(label, tuple(points), alpha=0.05, threshold=chosen)


def build_sample() -> Summary:
    """The same summary every time."""
    rng = random.Random(7)
    members = tuple(_member(index, tool, rng) for index, tool in enumerate(TOOLS))
    tasks = (*members, LABEL, *KEPT)
    answered = sum(task.answered_unseen or 0 for task in members)
    errors = sum(task.disagreements_unseen or 0 for task in members)
    unseen = sum(task.unseen_calls or 0 for task in tasks)
    both = answered + (LABEL.answered_unseen or 0)
    wrong = errors + (LABEL.disagreements_unseen or 0)
    return Summary(
        title="Sample traffic: home assistant, intent router, airline agent, SQL assistant",
        created="2026-11-23T22:10:00Z",
        calls_total=TOTAL,
        calls_unseen=unseen,
        answered_unseen=both,
        coverage=both / unseen,
        disagreements=wrong,
        risk=wrong / both,
        risk_upper_95=0.026,
        alpha=0.05,
        delta=0.05,
        tasks=tasks,
        groups=(
            GroupResult(
                "home",
                tuple(task.id for task in members),
                alpha=0.05,
                delta=0.05,
                threshold=0.874,
                n=1494,
                answered=851,
                errors=31,
                coverage=0.57,
                risk=31 / 851,
                risk_upper=0.0489,
                answered_unseen=answered,
                disagreements_unseen=errors,
            ),
        ),
        discovery=Discovery(ari=0.987, tasks=22, call_sites=22),
        sessions=Sessions(sessions=2410, touched=1602, disturbed=44, calls_per_session=2.1),
        seconds={
            "import": 2.4,
            "discover": 3.1,
            "curate": 1.2,
            "select": 38.5,
            "train": 412.0,
            "certify": 6.3,
            "replay": 71.9,
        },
        peak_rss_mb=1180.0,
        plan={
            "device": "cpu-laptop",
            "replicas": 1,
            "memory": {"total": 751_870_912},
            "memory_there": 12_884_901_888,
            "fits": True,
            "adapters": 0,
            "load": 0.0024,
            "binding": "none; the nearest is memory, 6% of what may be used",
            "assumptions": ["busiest hour 3 times the mean; Poisson arrivals within it"],
        },
        costs=COSTS,
        reliability=tuple(
            ReliabilityBin(0.05 + b / 10, min(1.0, max(0.0, 0.05 + b / 10 + d)), n)
            for b, (d, n) in enumerate(
                zip(
                    (0.04, 0.02, -0.03, -0.05, 0.03, 0.04, -0.02, 0.01, 0.02, 0.01),
                    (120, 96, 88, 101, 120, 164, 233, 402, 811, 2310),
                    strict=True,
                )
            )
        ),
        curves=(_curve("group home", 0.22, 0.775), _curve("intent router", 0.1, 0.69)),
        learning=(
            Learning(
                "group home",
                {"train": 4980, "validation": 1494, "calibration": 1990},
                {"answered by a specialist": 12, "cut off by the token limit": 3, "no answer": 0},
                {
                    "/email_sendemail/person missing": 61,
                    "/play_radio/media_type extra": 40,
                    "name value": 38,
                    "/weather_query/place_name value": 22,
                    "/lists_createoradd/list_name value": 9,
                    "/news_query/date extra": 4,
                },
            ),
            Learning("intent router", {"train": 3200, "validation": 900, "calibration": 2000}),
        ),
        environment={"version": "0.1.0", "python": "3.11.2", "seed": 20260},
        notes=(
            "Agreement is measured against the recorded answers of the LLM, not against the truth.",
            "One call per session enters a certificate; the mix of the 18 tools is part of the promise.",
        ),
    )


@pytest.fixture
def sample() -> Summary:
    return build_sample()
