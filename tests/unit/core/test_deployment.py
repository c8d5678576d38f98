from __future__ import annotations

import json

from offramp.core.deployment import Deployment
from offramp.core.json import canonical, digest


def test_a_deployment_survives_json() -> None:
    deployment = Deployment("lora-1", ("a", "b"), 0.8, 0.05, 0.01, "group", {"a": 0.25, "b": 0.75}, 0.1)
    assert Deployment.from_dict(json.loads(json.dumps(deployment.to_dict()))) == deployment


def test_equal_json_has_equal_text_and_hash() -> None:
    assert canonical({"b": 1, "a": [1, "é"]}) == '{"a":[1,"é"],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    assert digest([1], size=5) != digest([2], size=5)
    assert len(digest([], size=5)) == 10


def test_of_a_risk_at_alpha_a_judge_sees_all_but_what_it_misses() -> None:
    assert Deployment("s", ("a",), 0.8, 0.05, 0.01).seen_alpha == 0.05
    assert Deployment("s", ("a",), 0.8, 0.1, 0.01, judge_missed=0.25).seen_alpha == 0.1 * 0.75
