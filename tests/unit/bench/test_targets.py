from bench.gateway.counts import Count, dropped_in
from bench.gateway.measure import Measured, Standing
from bench.gateway.processes import Memory, spent_ns
from bench.gateway.soak import Sizes, Soaked
from bench.gateway.tables import table
from bench.gateway.targets import OURS, Verdict, added, judge, times


def measured(gateway_us: float, others_us: float = 0.0, p50: float = 100.0) -> Measured:
    latency = {"p50": p50, "p99": 2 * p50}
    return Measured(10, 0, [], gateway_us, others_us, 1.0, latency, latency, settled=True, dropped=None)


def standing(name: str, *rounds: dict[str, Measured]) -> Standing:
    return Standing(name, rounds=list(rounds))


def verdict_of(verdicts: list[Verdict], part: str) -> Verdict:
    return next(one for one in verdicts if part in one.promise)


def test_a_ratio_is_taken_inside_a_round_and_not_between_medians() -> None:
    ours = standing(OURS, {"2k": measured(10)}, {"2k": measured(100)}, {"2k": measured(20)})
    peer = standing("TensorZero", {"2k": measured(40)}, {"2k": measured(500)}, {"2k": measured(60)})
    found = times({OURS: ours, "TensorZero": peer}, "TensorZero", "2k", lambda one: one.gateway_us)
    assert (found.median, found.low, found.high) == (4.0, 3.0, 5.0)


def test_added_latency_is_the_difference_to_the_direct_way_of_the_same_round() -> None:
    ours = standing(OURS, {"light-2k": measured(1, p50=500)}, {"light-2k": measured(1, p50=900)})
    direct = standing("direct", {"light-2k": measured(0, p50=100)}, {"light-2k": measured(0, p50=600)})
    found = added({OURS: ours, "direct": direct}, OURS, "light-2k", lambda one: one.latency_us["p50"])
    assert (found.low, found.high) == (300, 400)


def test_the_recorders_work_is_judged_too() -> None:
    ours = standing(OURS, {"2k": measured(50, others_us=50)})
    peer = standing("TensorZero", {"2k": measured(250)})
    verdicts = judge({OURS: ours, "TensorZero": peer}, None)
    assert verdict_of(verdicts, "4 times below TensorZero (gateway process)").word == "PASS"
    assert verdict_of(verdicts, "4 times below TensorZero (with the recorder)").word == "FAIL"


def test_a_peer_that_is_missing_is_not_measured_rather_than_beaten() -> None:
    verdicts = judge({OURS: standing(OURS, {"2k": measured(50)})}, None)
    assert verdict_of(verdicts, "below LiteLLM").word == "not measured"
    assert verdict_of(verdicts, "no field lost").word == "not measured"


def test_one_lost_field_fails_the_promise_and_is_named() -> None:
    ours = Standing(OURS, fidelity={"request: seed": "LOST", "request: user": "kept"})
    found = verdict_of(judge({OURS: ours}, None), "no field lost")
    assert (found.word, found.found) == ("FAIL", "request: seed: LOST")


COUNT = Count(10, 10, 0)


def soaked(end_mb: int, count: Count | None = COUNT) -> Soaked:
    start, end = (Sizes(Memory(mb * 10**6, 0), Memory(0, 0)) for mb in (50, end_mb))
    return Soaked(10, 0, start, end, end, 1.0, True, count)


def test_memory_must_be_small_and_must_not_grow() -> None:
    words = {mb: verdict_of(judge({}, soaked(mb)), "memory of the gateway").word for mb in (55, 80, 120)}
    assert words == {55: "PASS", 80: "FAIL", 120: "FAIL"}


def test_a_call_must_be_stored_or_counted_as_dropped() -> None:
    counts = {"PASS": Count(10, 8, 2), "FAIL": Count(10, 8, 1), "not measured": None}
    for word, count in counts.items():
        assert verdict_of(judge({}, soaked(55, count)), "in the store").word == word


def test_dropped_calls_are_found_wherever_the_status_tells_them() -> None:
    status = {"recording": {"taken": 9, "dropped": 2, "parts": [{"failed": 1}]}, "calls_lost_total": 4}
    assert dropped_in(status) == 7
    assert dropped_in({"recording": {"error": "no drop"}}) == 0


def test_a_process_that_came_later_counts_from_its_start() -> None:
    assert spent_ns({1: 100}, {1: 150, 2: 30}) == {1: 50, 2: 30}


def test_a_table_is_aligned() -> None:
    lines = table("T", ["name", "x"], [["a", "1"], ["long name", "100"]]).splitlines()
    assert lines[1:] == ["T", "name         x", "-" * 14, "a            1", "long name  100"]


def test_as_much_as_a_router_is_not_below_it() -> None:
    standings = {
        OURS: standing(OURS, {"2k": measured(50)}),
        "vllm-router": standing("vllm-router", {"2k": measured(50)}),
    }
    assert verdict_of(judge(standings, None), "2 KB: below vllm-router (gateway").word == "FAIL"
