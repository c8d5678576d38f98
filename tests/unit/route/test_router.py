from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from offramp.core.call import Answer
from offramp.core.decision import Proposal, Routing
from offramp.core.deployment import Deployment
from offramp.core.errors import Busy, EngineError
from offramp.route import MixWatch, SpecialistRouter

if TYPE_CHECKING:
    from offramp.core.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOYMENT = Deployment("s-1", ("t-1",), threshold=0.8, alpha=0.05, delta=0.05)
REQUEST = {"messages": [{"role": "user", "content": "lights off"}]}
TEACHER = {"choices": [{"message": {"content": "on"}, "finish_reason": "stop"}]}


@dataclass
class ThreeStrikes:
    """Rejects after three losses; stands in for the e-process, which has tests of its own."""

    losses: float = 0.0

    def update(self, loss: float) -> None:
        self.losses += loss

    @property
    def rejected(self) -> bool:
        return self.losses >= 3


@dataclass
class Bench:
    """A router with everything around it in plain sight."""

    proposal: Proposal | Exception = field(default_factory=lambda: Proposal(Answer("on"), 0.9))
    task: str | None = "t-1"
    audit_rate: float = 0.0
    rolled_back: list[tuple[str, str]] = field(default_factory=list)
    while_comparing: Callable[[], None] = lambda: None

    def router(self, *deployments: Deployment) -> SpecialistRouter:
        async def ask(
            specialist: str, task: str, request: dict[str, Any], standing: Standing | None
        ) -> Proposal:
            assert (specialist, task, standing) == ("s-1", self.task, None)
            if isinstance(self.proposal, Exception):
                raise self.proposal
            return self.proposal

        async def same(task: str, request: dict[str, Any], ours: Answer, theirs: Answer) -> bool:
            self.while_comparing()
            return ours == theirs

        router = SpecialistRouter(
            assign=lambda request: self.task,
            ask=ask,
            agree=same,
            monitor=lambda deployment: ThreeStrikes(),
            audit_rate=self.audit_rate,
            rng=random.Random(1),
            on_rollback=lambda specialist, reason: self.rolled_back.append((specialist, reason)),
        )
        router.deploy(deployments)
        return router


async def test_a_sure_specialist_answers() -> None:
    assert await Bench().router(DEPLOYMENT).route(REQUEST) == Routing(
        task="t-1", route="s-1", confidence=0.9, answer=Answer("on")
    )


@pytest.mark.parametrize(
    ("bench", "request_", "reason"),
    [
        (Bench(task=None), REQUEST, "no task"),
        (Bench(task="t-2"), REQUEST, "not live"),
        (Bench(proposal=Proposal(Answer("on"), 0.79)), REQUEST, "below threshold"),
        (Bench(proposal=Proposal(None, 0.99)), REQUEST, "no valid answer"),
        (Bench(proposal=EngineError("gone")), REQUEST, "specialist failed"),
        (Bench(proposal=Busy("full", retry_after_s=1.0)), REQUEST, "specialist busy"),
        (Bench(), {**REQUEST, "n": 2}, "n > 1"),
        (Bench(), {**REQUEST, "logprobs": True}, "logprobs asked for"),
    ],
)
async def test_every_doubt_ends_at_the_teacher(bench: Bench, request_: dict[str, Any], reason: str) -> None:
    routing = await bench.router(DEPLOYMENT).route(request_)
    assert (routing.route, routing.reason, routing.answer) == ("teacher", reason, None)


@pytest.mark.parametrize(("task", "reason"), [("t-1", "below threshold"), ("t-2", "")])
async def test_a_member_held_to_a_stricter_threshold_answers_only_above_it(task: str, reason: str) -> None:
    group = Deployment("s-1", ("t-1", "t-2"), threshold=0.8, alpha=0.05, delta=0.05, floors={"t-1": 0.95})
    assert (await Bench(task=task).router(group).route(REQUEST)).reason == reason
    sure = Bench(task=task, proposal=Proposal(Answer("on"), 0.95))
    assert (await sure.router(group).route(REQUEST)).route == "s-1"


def test_nothing_live_is_idle() -> None:
    assert Bench().router().idle
    assert not Bench().router(DEPLOYMENT).idle


async def test_the_audited_share_is_the_rate() -> None:
    router = Bench(audit_rate=0.25).router(DEPLOYMENT)
    audited = [(await router.route(REQUEST)).audit for _ in range(2000)]
    assert 0.2 < sum(audited) / 2000 < 0.3


async def test_audits_that_disagree_roll_back() -> None:
    bench = Bench()
    router = bench.router(DEPLOYMENT)
    routing = Routing(task="t-1", route="s-1", answer=Answer("off"), audit=True)
    for _ in range(3):
        await router.observe_audit(routing, REQUEST, TEACHER)
    assert bench.rolled_back == [("s-1", "audits show a risk above 0.05")]
    assert (await router.route(REQUEST)).reason == "not live"


async def test_an_audit_of_what_went_out_while_it_was_compared_counts_for_nobody() -> None:
    bench = Bench()
    router = bench.router(DEPLOYMENT)
    again = replace(DEPLOYMENT, alpha=0.1)
    bench.while_comparing = lambda: router.deploy([again])
    routing = Routing(task="t-1", route="s-1", answer=Answer("off"), audit=True)
    for _ in range(3):
        router.deploy([DEPLOYMENT])
        await router.observe_audit(routing, REQUEST, TEACHER)
    assert bench.rolled_back == []


async def test_an_audit_is_never_of_the_specialist_that_came_after() -> None:
    bench = Bench()
    router = bench.router(replace(DEPLOYMENT, specialist="s-2"))
    for _ in range(9):
        await router.observe_audit(
            Routing(task="t-1", route="s-1", answer=Answer("off"), audit=True), REQUEST, TEACHER
        )
    assert bench.rolled_back == []


async def test_audits_that_agree_or_cannot_be_read_change_nothing() -> None:
    bench = Bench()
    router = bench.router(DEPLOYMENT)
    for _ in range(9):
        await router.observe_audit(Routing(task="t-1", route="s-1", answer=Answer("on")), REQUEST, TEACHER)
        await router.observe_audit(
            Routing(task="t-1", route="s-1", answer=Answer("off")), REQUEST, {"error": {}}
        )
    assert bench.rolled_back == []


async def test_a_deployment_that_stays_keeps_its_audits() -> None:
    bench = Bench()
    router = bench.router(DEPLOYMENT)
    routing = Routing(task="t-1", route="s-1", answer=Answer("off"))
    for _ in range(2):
        await router.observe_audit(routing, REQUEST, TEACHER)
    router.deploy([DEPLOYMENT])
    await router.observe_audit(routing, REQUEST, TEACHER)
    assert bench.rolled_back


async def test_a_moved_mix_voids_a_group_certificate() -> None:
    group = Deployment(
        "s-1", ("t-1", "t-2"), 0.8, 0.05, 0.05, scope="group", mix={"t-1": 0.5, "t-2": 0.5}, mix_tolerance=0.2
    )
    bench = Bench()
    router = bench.router(group)
    routings = [await router.route(REQUEST) for _ in range(500)]
    assert routings[498].route == "s-1"
    assert routings[499].reason == "mix changed"
    assert bench.rolled_back == [("s-1", "mix of tasks moved by 0.50")]


async def test_a_deferred_member_counts_in_the_mix_and_goes_to_the_teacher() -> None:
    mix = {"t-1": 0.5, "t-2": 0.5}
    group = Deployment("s-1", ("t-1",), 0.8, 0.05, 0.05, scope="group", mix=mix, mix_tolerance=0.1)
    bench = Bench()
    router = bench.router(group)
    for number in range(1200):
        bench.task = f"t-{number % 2 + 1}"
        routing = await router.route(REQUEST)
        assert routing.reason == ("" if bench.task == "t-1" else "always deferred")
    assert bench.rolled_back == []


def test_a_window_of_the_certified_mix_itself_is_within_chance() -> None:
    mix = {f"t-{number}": 1 / 18 for number in range(18)}
    group = Deployment("s", tuple(mix), 0.8, 0.05, 0.05, scope="group", mix=mix, mix_tolerance=0.1)
    rng = random.Random(7)
    watch = MixWatch(group)
    voided = 0
    for _ in range(20_000):
        watch.observe(rng.choice(list(mix)))
        voided += watch.voided
    assert voided == 0


def test_the_mix_window_forgets() -> None:
    group = Deployment("s", ("a", "b"), 0.8, 0.05, 0.05, scope="group", mix={"a": 1.0}, mix_tolerance=0.1)
    watch = MixWatch(group, window=10)
    for task in "b" * 10 + "a" * 10:
        watch.observe(task)
    assert watch.distance == 0.0
    watch.observe("b")
    assert watch.distance == pytest.approx(0.1)


def test_a_task_certificate_has_no_mix_to_leave() -> None:
    watch = MixWatch(DEPLOYMENT, window=2)
    for _ in range(5):
        watch.observe("t-9")
    assert not watch.voided


def test_deployments_survive_storage() -> None:
    assert Deployment.from_dict(DEPLOYMENT.to_dict()) == DEPLOYMENT
