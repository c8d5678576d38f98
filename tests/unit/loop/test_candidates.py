from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from offramp.core.askers import MIN_ORIGINS
from offramp.core.call import Answer, Dialect
from offramp.core.errors import BadInput, EngineError, OfframpError, UpstreamError
from offramp.core.ladder import LADDER, VERBATIM, kind_of
from offramp.curate.curate import curate
from offramp.engine.cheaper_specialist import SAMPLES
from offramp.engine.nano import NANO_BASE
from offramp.engine.specialist import CARD, Card, TaskRequest
from offramp.loop.candidates import CANDIDATES, candidate_of
from offramp.loop.candidates.running import Site, site_of
from offramp.loop.ladder import Brief, Tools, Workshop, make, open_specialist
from offramp.loop.pipeline import Stages, find_tasks
from offramp.loop.workshop import Asked
from offramp.plan.devices import find_device
from offramp.plan.prices import ModelPrice
from offramp.plan.shape import read_shape
from offramp.select import units_of
from offramp.testing.embedder import HashEmbedder
from offramp.testing.engine import FakeTraining, RuleEngine
from offramp.testing.memory_store import MemoryStore
from offramp.testing.traffic import ROOMS, Agent, calls_of, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from offramp.core.json import JsonObject


class Provider:
    """A provider whose model says what it is told, with or without log-probabilities."""

    def __init__(self, said: JsonObject | None = None, *, logprobs: bool = True, down: bool = False) -> None:
        self.said = said or say("yes")
        self.logprobs = logprobs
        self.down = down
        self.asked: list[JsonObject] = []

    def ask(self, requests: Sequence[JsonObject]) -> list[JsonObject | OfframpError]:
        self.asked += requests
        return [self._reply(request) for request in requests]

    def _reply(self, request: JsonObject) -> JsonObject | OfframpError:
        if self.down:
            return UpstreamError("HTTP 404: no such model", hint="Name another.")
        if "logprobs" in request and not self.logprobs:
            return UpstreamError("HTTP 400: no logprobs here")
        content = [{"token": "yes", "logprob": -0.1}] if "logprobs" in request else None
        return {"choices": [{**self.said["choices"][0], "logprobs": {"content": content}}]}


CANARY = "zanzibarquux"
LAPTOP = find_device("cpu-laptop")
SITE = Site(LAPTOP, prompt=400, payload=30, completion=12, calls=800)
PRICE = ModelPrice(input=2.0, cached_input=1.0, output=10.0)
BASE = read_shape(json.loads((NANO_BASE / "config.json").read_text()), name="nano")


def brief_of(kind: str, *, planted: str = "", sessions: int = 160) -> Brief:
    """A brief on synthetic traffic; one training call is the canary's, in question and answer."""
    agent = Agent()
    pairs = [getattr(agent, kind)() for _ in range(sessions)]
    if planted:
        text = json.dumps(pairs[3])
        room = next(room for room in ROOMS if room in text)
        pairs[3] = json.loads(text.replace(room, planted))
    store = MemoryStore()
    store.append(calls_of(pairs))
    calls, discovery = find_tasks(store, Stages(), lambda _: None)
    (unit,) = units_of(discovery.tasks)
    return Brief(unit, curate(calls, discovery.assignment, unit.tasks))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    engine = RuleEngine(lambda request: (f'light_on {{"room":"{request.prompt.split()[-1]}"}}', -0.1))
    return Workshop(
        tmp_path / "specialists",
        HashEmbedder(),
        lambda: engine,
        FakeTraining(),
        "nano",
        cheaper=Asked("mini", Provider),
    )


def test_the_kinds_stand_in_the_order_of_the_ladder() -> None:
    assert [kind for kind in LADDER if kind in CANDIDATES] == list(CANDIDATES)
    assert all(candidate_of(kind).kind == kind for kind in CANDIDATES)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(BadInput, match="no kind of candidate 'magic'") as caught:
        candidate_of("magic")
    assert "cache, template" in caught.value.hint


def test_another_recipe_or_base_makes_another_specialist_and_the_same_ones_the_same(
    workshop: Workshop,
) -> None:
    """Of what decides what an adapter becomes; a cache does not mind how adapters are trained."""
    brief = brief_of("light")
    shops = {
        "first": workshop,
        "same": replace(workshop, recipe=dict),
        "method": replace(workshop, recipe=lambda: {"method": "full"}),
        "seed": replace(workshop, recipe=lambda: {"method": "full", "seed": 2}),
        "base": replace(workshop, base="other"),
    }
    made = {name: make("lora", brief, shop).card.id for name, shop in shops.items()}
    assert made["same"] == made["first"]
    assert len(set(made.values())) == 4
    assert make("cache", brief, shops["seed"]).card.id == make("cache", brief, workshop).card.id


def test_all_weights_are_trained_by_their_own_method_and_a_copy_of_them_is_held(workshop: Workshop) -> None:
    whole = FakeTraining()
    shop = replace(workshop, trainers={"full": whole})
    made = make("full", brief_of("light"), shop)
    assert made.card.id.startswith("full-")
    assert whole.runs == 1
    assert type(open_specialist(shop.folder / made.card.id, shop.tools)) is type(made)
    site = replace(SITE, base=BASE)
    full, lora = (candidate_of(kind).running(site) for kind in ("full", "lora"))
    assert full.memory > lora.memory
    assert full.seconds == lora.seconds


def test_weights_that_the_device_cannot_hold_while_they_are_trained_are_not_trained(
    workshop: Workshop,
) -> None:
    brief = brief_of("light")
    shop = replace(workshop, trainers={"full": FakeTraining()})
    large = replace(BASE, name="large", layers=BASE.layers * 4000, kv_heads=BASE.kv_heads * 4000)
    sites = {"small": replace(SITE, base=BASE), "large": replace(SITE, base=large), "unknown": SITE}
    reasons = {
        name: candidate_of("full").can(brief, replace(shop, site=lambda _, site=site: site))  # type: ignore[misc]
        for name, site in sites.items()
    }
    assert reasons["small"] == reasons["unknown"] == candidate_of("full").can(brief, shop) == ""
    assert "weights of large holds" in reasons["large"]
    assert "cpu-laptop has 12" in reasons["large"]


def test_four_bits_need_a_gpu_and_every_method_needs_a_trainer(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = brief_of("light")
    assert candidate_of("qlora").can(brief, workshop) == "no training method of kind qlora is set up"
    shop = replace(workshop, trainers={"qlora": FakeTraining()})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "torch sees none here" in candidate_of("qlora").can(brief, shop)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert candidate_of("qlora").can(brief, shop) == ""


@pytest.mark.parametrize("kind", ["cache", "template", "classifier"])
def test_what_was_made_is_opened_again_and_says_the_same(kind: str, workshop: Workshop) -> None:
    brief = brief_of("route")
    made = make(kind, brief, workshop)
    asked = [TaskRequest(row.task, row.call.request) for row in brief.dataset.parts["validation"]]
    opened = open_specialist(workshop.folder / made.card.id, workshop.tools)
    assert type(opened) is type(made)
    assert opened.consider(asked) == made.consider(asked)
    assert any(
        seen.answer for seen in opened.consider([TaskRequest(r.task, r.call.request) for r in brief.train])
    )
    assert make(kind, brief, workshop).card == made.card


@pytest.mark.parametrize("kind", ["cache", "template", "classifier", "lora", "prompted", "cheaper"])
@pytest.mark.parametrize("least", [1, MIN_ORIGINS])
def test_words_of_one_call_are_only_in_folders_that_erasure_takes_out_at_once(
    least: int, kind: str, workshop: Workshop
) -> None:
    """A cache holds them too where they stand in the request: whoever asks has said them."""
    brief = brief_of("light", planted=CANARY)
    assert any(CANARY in row.example.completion for row in brief.train)
    try:
        folder = workshop.folder / make(kind, brief, replace(workshop, min_origins=least)).card.id
    except OfframpError as error:
        pytest.skip(str(error))
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert CANARY.encode() not in written or kind in VERBATIM
    assert (CANARY.encode() in written) == (kind == "cache" or (kind == "prompted" and least == 1))


def test_a_prompted_model_is_opened_on_the_base_it_was_measured_on_and_on_no_other(
    workshop: Workshop,
) -> None:
    made = make("prompted", brief_of("light"), workshop)
    folder = workshop.folder / made.card.id
    assert made.card.base == "nano"
    assert open_specialist(folder, workshop.tools).card == made.card
    assert open_specialist(folder, replace(workshop.tools, base="")).card == made.card
    with pytest.raises(EngineError, match="measured on 'nano'; configured is 'other'"):
        open_specialist(folder, replace(workshop.tools, base="other"))


def test_a_server_is_prompted_in_the_bases_place(workshop: Workshop) -> None:
    provider = Provider()
    asking = replace(workshop, server=Asked("Qwen3-4B", lambda: provider))
    brief = brief_of("route")
    made = make("prompted", brief, asking)
    assert made.card.base == "Qwen3-4B"
    row = brief.dataset.parts["validation"][0]
    opened = open_specialist(workshop.folder / made.card.id, asking.tools)
    (seen,) = opened.consider([TaskRequest(row.task, row.call.request)])
    assert seen.answer == Answer("yes")
    assert provider.asked[0]["model"] == "Qwen3-4B"
    with pytest.raises(EngineError, match="measured on 'Qwen3-4B'"):
        open_specialist(workshop.folder / made.card.id, workshop.tools)


@pytest.mark.parametrize("logprobs", [True, False])
def test_a_cheaper_model_is_tried_once_and_remembered(logprobs: bool, workshop: Workshop) -> None:
    provider = Provider(logprobs=logprobs)
    asking = replace(workshop, cheaper=Asked("mini", lambda: provider))
    made = make("cheaper", brief_of("route"), asking)
    assert (made.card.base, made.card.training) == ("mini", {"logprobs": logprobs})
    assert len(provider.asked) == (1 if logprobs else 2)
    assert open_specialist(workshop.folder / made.card.id, asking.tools).card == made.card
    with pytest.raises(EngineError, match="No server is configured"):
        open_specialist(workshop.folder / made.card.id, replace(asking.tools, cheaper=Asked()))


def test_a_cheaper_model_that_does_not_answer_says_what_the_provider_says(workshop: Workshop) -> None:
    down = replace(workshop, cheaper=Asked("mini", lambda: Provider(down=True)))
    with pytest.raises(EngineError, match="mini gave no answer: HTTP 404: no such model"):
        make("cheaper", brief_of("route"), down)


def test_a_cheaper_model_has_to_be_another_one_of_the_same_api(workshop: Workshop) -> None:
    brief = brief_of("route")
    candidate = candidate_of("cheaper")
    teacher = str(brief.train[0].call.request["model"])
    assert candidate.can(brief, workshop) == ""
    assert "set train.cheaper" in candidate.can(brief, replace(workshop, cheaper=Asked()))
    assert "is gpt-4o itself" in candidate.can(
        brief, replace(workshop, cheaper=replace(workshop.cheaper, model=teacher))
    )
    call = replace(brief.train[0].call, dialect=Dialect.MESSAGES)
    train = (replace(brief.train[0], call=call), *brief.train[1:])
    dataset = replace(brief.dataset, parts={**brief.dataset.parts, "train": train})
    assert "Anthropic API" in candidate.can(replace(brief, dataset=dataset), workshop)


def test_a_cheaper_model_costs_its_price_for_each_sample() -> None:
    site = Site(LAPTOP, prompt=1000, payload=30, completion=100, price=PRICE)
    running = CANDIDATES["cheaper"].running(site)
    assert running.usd == pytest.approx(SAMPLES * (1000 * 2.0 + 100 * 10.0) / 1e6)
    assert (running.busy, running.memory) == (0.0, 0)
    assert "its price is not known" in CANDIDATES["cheaper"].running(SITE).basis


def test_examples_in_the_prompt_cost_time() -> None:
    site = replace(SITE, base=BASE)
    assert CANDIDATES["prompted"].running(site).seconds > CANDIDATES["lora"].running(site).seconds
    assert CANDIDATES["prompted"].running(SITE).basis == "the base's shape is not known"


def test_a_template_counts_its_rules_on_its_card(workshop: Workshop) -> None:
    card = make("template", brief_of("light"), workshop).card
    assert card.training["rules"] >= 1
    assert 1 <= card.training["with_slots"] <= card.training["rules"]


def test_answers_that_nothing_in_the_requests_tells_make_no_template(workshop: Workshop) -> None:
    brief = brief_of("flip")
    unique = tuple(
        replace(row, example=replace(row.example, completion=f"answer {number}"))
        for number, row in enumerate(brief.train)
    )
    dataset = replace(brief.dataset, parts={**brief.dataset.parts, "train": unique})
    with pytest.raises(OfframpError, match="no pattern over the requests"):
        make("template", replace(brief, dataset=dataset), workshop)


def test_what_cannot_do_a_task_says_why_before_anything_is_written(workshop: Workshop) -> None:
    with pytest.raises(OfframpError, match="answers are labels"):
        make("lora", brief_of("route"), workshop)
    with pytest.raises(OfframpError, match="nothing to make"):
        make("keep_llm", brief_of("route"), workshop)
    assert not workshop.folder.exists()


def test_the_llm_has_no_folder(tmp_path: Path) -> None:
    Card("keep_llm-1", "keep_llm", {}).save(tmp_path)
    with pytest.raises(EngineError, match="names the LLM as its specialist"):
        open_specialist(tmp_path, _no_tools())
    with pytest.raises(EngineError, match="nothing to make"):
        candidate_of("keep_llm").make(Card("keep_llm-1", "keep_llm", {}), tmp_path, *_nothing())


def test_a_folder_of_a_later_version_is_told_from_a_broken_one(tmp_path: Path) -> None:
    Card("telepathy-1", "telepathy", {}).save(tmp_path)
    with pytest.raises(EngineError, match="kind 'telepathy'; known are keep_llm, cache"):
        open_specialist(tmp_path, _no_tools())


def test_the_kind_of_a_folder_without_a_card_is_read_off_its_name() -> None:
    assert kind_of("template-0123") == "template"
    assert kind_of("keep_llm-1") == "keep_llm"
    assert kind_of("half-made") == kind_of("") == ""


def test_a_cache_opens_without_loading_any_model(workshop: Workshop) -> None:
    for kind in ("cache", "template"):
        made = make(kind, brief_of("route"), workshop)
        assert open_specialist(workshop.folder / made.card.id, _no_tools()).card == made.card
    assert (workshop.folder / made.card.id / CARD).is_file()


def test_cheaper_kinds_are_modelled_as_faster() -> None:
    site = Site(LAPTOP, 400, 30, 12, calls=800, base=BASE)
    found = [CANDIDATES[kind].running(site) for kind in ("cache", "template", "classifier", "lora")]
    seconds = [running.seconds for running in found]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < 1e-3 < seconds[2]
    assert found[2].memory < found[3].memory
    assert not any(running.measured for running in found)
    assert all(running.usd == pytest.approx(running.seconds * 0.07 / 3600) for running in found)


@pytest.mark.parametrize("kind", ["cache", "template", "classifier", "lora"])
def test_more_training_calls_are_held_in_more_memory(kind: str) -> None:
    few, many = (CANDIDATES[kind].running(Site(LAPTOP, 400, 30, 12, n, base=BASE)) for n in (100, 10_000))
    assert few.memory < many.memory
    assert few.seconds <= many.seconds


def test_a_faster_device_is_modelled_as_faster() -> None:
    gpu = Site(find_device("h100"), 400, 300, 60, calls=800, base=BASE)
    laptop = Site(LAPTOP, 400, 300, 60, calls=800, base=BASE)
    assert CANDIDATES["lora"].running(gpu).seconds < CANDIDATES["lora"].running(laptop).seconds


def test_a_base_of_unknown_shape_is_not_modelled() -> None:
    running = CANDIDATES["lora"].running(SITE)
    assert (running.seconds, running.basis) == (0.0, "the base's shape is not known")


def test_measured_seconds_replace_the_model() -> None:
    modelled = CANDIDATES["classifier"].running(SITE)
    measured = modelled.timed(0.5, 90)
    assert (measured.seconds, measured.measured, measured.basis) == (0.5, True, "measured on 90 calls")
    assert measured.usd == pytest.approx(0.5 * 0.07 / 3600)
    assert measured.memory == modelled.memory


def test_the_llm_costs_what_its_provider_bills() -> None:
    site = Site(LAPTOP, prompt=1000, payload=30, completion=100, price=PRICE, latency=1.5)
    running = CANDIDATES["keep_llm"].running(site)
    assert running.usd == pytest.approx((1000 * 2.0 + 100 * 10.0) / 1e6)
    assert (running.seconds, running.measured, running.memory) == (1.5, True, 0)
    assert running.timed(2.0, 9).usd == running.usd
    assert not CANDIDATES["keep_llm"].running(SITE).measured


def test_a_site_is_measured_on_the_calls() -> None:
    items = brief_of("light").train
    site = site_of(items, LAPTOP, calls=len(items), price=PRICE)
    assert site.calls == len(items)
    assert 5 <= site.payload <= 20
    assert 5 <= site.completion <= 15
    assert site.prompt == items[0].call.usage.prompt_tokens
    assert site.latency is None or site.latency > 0


def _no_tools() -> Tools:
    def refuse() -> None:
        raise AssertionError("a model was loaded")

    return Tools(refuse, refuse)  # type: ignore[arg-type] # it never returns


def _nothing() -> tuple[Brief, Workshop]:
    return None, None  # type: ignore[return-value] # neither is looked at
