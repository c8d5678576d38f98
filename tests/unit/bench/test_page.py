from bench.gateway.measure import Measured, Standing
from bench.gateway.page import page
from bench.gateway.targets import Verdict

LATENCY = {"p50": 300.0, "p99": 900.0}


def measured(others_us: float) -> Measured:
    return Measured(1, 0, [], 60.0, others_us, 1.0, LATENCY, LATENCY, settled=True, dropped=None)


def test_every_row_has_every_column() -> None:
    parts = {"2k": measured(200.0), "light-2k": measured(0.0), "burst": measured(0.0)}
    standings = [
        Standing("direct", rounds=[parts]),
        Standing(
            "ours",
            "1.0",
            rounds=[parts],
            fidelity={"seed": "kept", "user": "LOST", "request: keys added": "none"},
        ),
        Standing("theirs", problem="not installed: a | b"),
    ]
    text = page({"date": "today"}, standings, [Verdict("promise", "5x", passed=True)])
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("|") and "promise" not in line and "PASS" not in line
    ]
    assert {row.count("|") for row in rows} == {10, 4}
    assert "| ours 1.0 | 60 + 200 | - |" in text
    assert "1 of 2" in text
    assert "| promise | 5x | PASS |" in text


def test_a_missing_gateway_says_why() -> None:
    text = page({"date": "today"}, [Standing("theirs", problem="not installed")], [])
    assert "| theirs | not installed |" in text
