"""The parts of bench/discover that can be wrong without anybody noticing."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from bench.discover import scores, targets, traffic
from bench.discover.growth import grow

from offramp.core.call import last_user_text

if TYPE_CHECKING:
    from pathlib import Path

    from bench.discover.traffic import Labelled

CREW = "You are Cook. You like soup.\nYour personal goal is: Cook\nTo give my best answer, think."


def row(number: int, text: str, label: str | None = None, **meta: object) -> dict[str, Any]:
    messages = [{"role": "system", "content": CREW}, {"role": "user", "content": text}]
    request = {"messages": messages}
    return {"id": str(number), "subtask": label, "request": request, "response": {}, "meta": meta}


def read(folder: Path, name: str, rows: list[dict[str, Any]]) -> list[Labelled]:
    path = folder / f"{name}.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return traffic.read(path)


@pytest.mark.parametrize(
    ("name", "label", "meta", "truth"),
    [
        ("gold_clinc150", "intent:alarm", {}, ("clinc/router", "intent:alarm")),
        ("tau_airline_gpt4o", "tool:think", {}, ("tau/agent", "tool:think")),
        ("tau_airline_gpt4o", "simulate_user", {}, ("tau/user", None)),
        ("gold_hwu64_tools", "iot", {"intent": "iot_on"}, ("hwu64/iot", "iot_on")),
        ("gold_bfcl_v4_nonlive", "tool:gcd", {}, ("bfcl", "tool:gcd")),
        ("wire_crewai", None, {}, (None, None)),
        ("wire_crewai", "role:Cook", {}, ("wire/role:Cook", None)),
        ("sample", None, {"call_site": "airline/user"}, ("airline/user", None)),
    ],
)
def test_labels_of_answers_fold_into_their_site(
    tmp_path: Path, name: str, label: str | None, meta: dict[str, str], truth: tuple[str | None, str | None]
) -> None:
    (item,) = read(tmp_path, name, [row(1, "x", label, **meta)])
    assert (item.site, item.action) == truth


def test_the_mix_keeps_sessions_in_order_and_all_calls(tmp_path: Path) -> None:
    rows = [row(i, "x", "role:Cook", episode=f"e{i // 5}") for i in range(50)]
    mixed = traffic.mix(read(tmp_path, "wire", rows))
    assert len({item.call.id for item in mixed}) == 50
    first = [item.call.id for item in mixed if item.call.session == "wire/e0"]
    assert first == [f"wire/{i}" for i in range(5)]
    assert [item.call.id for item in mixed] != [f"wire/{i}" for i in range(50)]


def test_a_sample_of_sessions_holds_whole_ones(tmp_path: Path) -> None:
    items = read(tmp_path, "wire", [row(i, "x", episode=f"e{i // 5}") for i in range(50)])
    drawn = traffic.sample_sessions(items, 12)
    assert len(drawn) == 15
    assert {sum(1 for i in drawn if i.call.session == s) for s in {i.call.session for i in drawn}} == {5}


def test_synthetic_growth_makes_new_payloads_and_sessions_and_keeps_the_prompt(tmp_path: Path) -> None:
    words = [f"word{chr(97 + i % 26)}{chr(97 + j)}" for i in range(20) for j in range(20)]
    rows = [row(i, "Please cook " + " ".join(words[i * 20 : i * 20 + 20]), "role:Cook") for i in range(20)]
    grown = list(grow(read(tmp_path, "wire", rows), 60))
    texts = {last_user_text(call.request) for call in grown}
    assert len(texts) == len({call.session for call in grown}) == len({call.id for call in grown}) == 60
    assert all(text.startswith("Please cook ") for text in texts)
    assert {call.request["messages"][0]["content"] for call in grown} == {CREW}


def test_the_even_score_lets_small_sites_count(tmp_path: Path) -> None:
    truth = {f"{i}": "large" for i in range(1_000)} | {f"s{i}": f"small{i % 4}" for i in range(200)}
    lumped = {call: site if site == "large" else "lump" for call, site in truth.items()}
    score = scores.against(truth, lumped)
    assert score.ari > 0.9
    assert score.even < 0.5
    assert scores.against(truth, {}).ari == pytest.approx(0.0)


def test_who_the_agent_is_without_what_the_framework_adds(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "wire", [row(1, "x")])
    assert traffic.agent_of(item.call) == "You are Cook. You like soup.\nYour personal goal is: Cook"


def test_a_target_says_what_was_asked_and_whether_it_is_met() -> None:
    lines = targets.table({targets.SITES: 0.96, targets.SECONDS: 181.0}).splitlines()
    assert lines[1].split()[-4:] == ["least", "0.95", "0.96", "met"]
    assert lines[2].split()[-4:] == ["most", "180", "181", "MISSED"]
