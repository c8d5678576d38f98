from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.access.guard import Guard, check_binding, is_loopback
from offramp.access.keys import Grant, Keys, Scopes
from offramp.access.roles import Role
from offramp.access.routes import RouteRules, action_of
from offramp.core.admission import Admission, Refusal
from offramp.core.errors import BadSetting
from offramp.testing.memory_store import MemoryStore

SECRET = b"k" * 32
CALL = ("POST", "/v1/chat/completions")
HEADERS = [(b"host", b"x"), (b"content-type", b"application/json")]
Fields = Sequence[tuple[bytes, bytes]]


@dataclass
class Door:
    """A guard, its store, and the time."""

    store: MemoryStore = field(default_factory=MemoryStore)
    now: float = 1_000_000.0
    rules: RouteRules = field(default_factory=RouteRules)
    local: bool = True

    def __post_init__(self) -> None:
        self.keys = Keys(self.store, SECRET, clock=_Now(self))
        self.guard = Guard(
            SECRET,
            pseudonym=lambda key: f"who-{key}",
            rules=self.rules,
            open_without_keys=self.local,
            now=lambda: self.now,
            tick=lambda: self.now,
        )

    def key(self, role: Role = Role.AGENT, **fields: object) -> str:
        _, text = self.keys.add(Grant(f"key {len(self.keys.all())}", role, **fields))  # type: ignore[arg-type]  # fields of Grant
        self.guard.reload(self.store)
        return text

    def admit(self, headers: Fields = (), path: str = CALL[1]) -> Admission | Refusal:
        return self.guard.admit("POST", path, [*HEADERS, *headers])

    def admitted(self, headers: Fields = (), path: str = CALL[1]) -> Admission:
        said = self.admit(headers, path)
        assert isinstance(said, Admission), said
        return said

    def refused(self, headers: Fields = (), path: str = CALL[1]) -> Refusal:
        said = self.admit(headers, path)
        assert isinstance(said, Refusal), said
        return said


@dataclass
class _Now:
    door: Door

    def now(self) -> float:
        return self.door.now


OPEN, KEYED = Door(), Door()
KEYED.key()


@pytest.fixture
def door() -> Door:
    return Door()


def bearer(text: str) -> Fields:
    return [(b"authorization", b"Bearer " + text.encode())]


def named(text: str) -> Fields:
    return [(b"x-offramp-key", text.encode())]


def test_without_keys_a_loopback_gateway_admits_everybody(door: Door) -> None:
    assert door.guard.reload(door.store) == 0
    assert door.admitted(bearer("sk-theirs")) == Admission()


@pytest.mark.parametrize("path", ["/offramp/calls/c-1", "/offramp/keys", "/offramp/promote", "/offramp/new"])
def test_without_keys_nobody_reads_bodies_or_changes_anything(door: Door, path: str) -> None:
    refusal = door.refused(path=path)
    assert refusal.status == 401
    assert "needs a key" in refusal.message
    for allowed in ("/v1/models", "/offramp/status", "/offramp/tasks", "/metrics"):
        door.admitted(path=allowed)


def test_without_keys_no_other_gateway_admits_anybody() -> None:
    door = Door(local=False)
    door.guard.reload(door.store)
    assert door.refused(bearer("sk-theirs")).status == 401


@pytest.mark.parametrize(
    "name", [b"authorization", b"x-api-key", b"api-key", b"x-offramp-key"], ids=lambda name: name.decode()
)
def test_a_key_is_taken_where_clients_put_it_and_never_reaches_the_teacher(door: Door, name: bytes) -> None:
    text = door.key()
    value = text.encode() if name != b"authorization" else b"bearer  " + text.encode()
    admission = door.admitted([(name, value)])
    assert admission.who == f"who-{door.keys.all()[0].id}"
    assert admission.drop == (name,)


def test_a_key_of_its_own_lets_the_providers_credential_pass(door: Door) -> None:
    admission = door.admitted([*named(door.key()), *bearer("sk-theirs")])
    assert admission.drop == (b"x-offramp-key",)


def test_a_key_in_two_places_is_dropped_in_both(door: Door) -> None:
    text = door.key()
    assert door.admitted([*named(text), *bearer(text)]).drop == (b"x-offramp-key", b"authorization")


def test_a_key_is_kept_from_the_teacher_while_the_gateway_is_open_too(door: Door) -> None:
    assert door.admitted(bearer("ofk_left_over")).drop == (b"authorization",)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer\tofk_x",
        b"Basic ofk_x",
        b"Bearer sk-theirs, Bearer ofk_x",
        b'Bearer "ofk_x"',
        b"Bearer a ofk_x",
    ],
)
def test_a_key_in_an_odd_place_of_a_credential_does_not_reach_the_teacher_either(
    door: Door, value: bytes
) -> None:
    admission = door.admitted([*named(door.key()), (b"authorization", value)])
    assert admission.drop == (b"x-offramp-key", b"authorization")


def test_a_providers_credential_that_looks_like_a_key_goes_on(door: Door) -> None:
    admission = door.admitted([*named(door.key()), (b"authorization", b"Bearer sk-aofk_b")])
    assert admission.drop == (b"x-offramp-key",)


def test_two_different_keys_are_none(door: Door) -> None:
    one, other = door.key(), door.key()
    assert door.refused([*bearer(one), (b"x-api-key", other.encode())]).status == 401


@pytest.mark.parametrize("headers", [[], bearer("sk-theirs"), named("ofk_"), named("ofk_" + "0" * 55)])
def test_once_there_is_a_key_nobody_comes_without(door: Door, headers: Fields) -> None:
    door.key()
    refusal = door.refused(headers)
    assert refusal.status == 401
    assert "offramp keys add" in refusal.message


def test_a_key_of_another_installation_is_refused(door: Door) -> None:
    other = Door()
    door.key()
    assert door.refused(named(other.key())).status == 401


def test_a_key_whose_secret_is_wrong_is_refused(door: Door) -> None:
    right = door.key()
    _, wrong = Keys(MemoryStore(), SECRET).add(Grant("x", Role.AGENT))
    forged = right.rpartition("_")[0] + "_" + wrong.rpartition("_")[2]
    assert door.refused(named(forged)).status == 401


def test_a_revoked_key_is_refused_from_the_next_look_at_the_store(door: Door) -> None:
    text = door.key()
    door.admitted(named(text))
    door.keys.revoke("key 0")
    door.guard.reload(door.store)
    assert "was revoked" in door.refused(named(text)).message


def test_revoking_the_last_key_does_not_open_the_gateway(door: Door) -> None:
    door.key()
    door.keys.revoke("key 0")
    door.guard.reload(door.store)
    assert door.refused().status == 401


def test_a_gateway_that_had_keys_does_not_open_where_they_vanish(door: Door) -> None:
    door.key()
    door.guard.reload(MemoryStore())
    assert door.refused().status == 401


def test_a_key_expires_without_a_look_at_the_store(door: Door) -> None:
    text = door.key(days=1)
    door.admitted(named(text))
    door.now += 86_400
    assert "has expired" in door.refused(named(text)).message


def test_a_rate_limit_refuses_and_says_when(door: Door) -> None:
    text = door.key(calls_per_minute=3)
    for _ in range(3):
        door.admitted(named(text))
    refusal = door.refused(named(text))
    assert (refusal.status, refusal.retry_after) == (429, 20)
    door.now += refusal.retry_after
    door.admitted(named(text))
    assert door.refused(named(text)).status == 429


def test_a_look_at_the_store_does_not_refill_a_rate(door: Door) -> None:
    text = door.key(calls_per_minute=1)
    door.admitted(named(text))
    door.key()
    assert door.refused(named(text)).status == 429


def test_keys_have_rates_of_their_own(door: Door) -> None:
    one, other = door.key(calls_per_minute=1), door.key(calls_per_minute=1)
    door.admitted(named(one))
    door.admitted(named(other))
    assert door.refused(named(one)).status == 429


def test_a_scope_holds_a_key_to_its_paths(door: Door) -> None:
    text = door.key(scopes=Scopes(paths=("/v1/chat", "/v1/models")))
    door.admitted(named(text))
    door.admitted(named(text), "/v1/models?limit=1")
    refusal = door.refused(named(text), "/v1/embeddings")
    assert refusal.status == 403
    assert "/v1/chat, /v1/models, not /v1/embeddings" in refusal.message


def test_a_scope_holds_a_key_to_its_models(door: Door) -> None:
    admission = door.admitted(named(door.key(scopes=Scopes(models=("gpt-4o",)))))
    assert door.guard.refuses(admission, "gpt-4o") is None
    refusal = door.guard.refuses(admission, "o3")
    assert refusal is not None
    assert refusal.status == 403
    assert door.guard.refuses(Admission(), "o3") is None


def test_a_key_may_keep_its_calls_from_record_and_training(door: Door) -> None:
    admission = door.admitted(named(door.key(record=False, trainable=False)))
    assert (admission.record, admission.trainable) == (False, False)


@pytest.mark.parametrize(("word", "record"), [(b"no", False), (b" Off ", False), (b"yes", True), (b"", True)])
def test_a_client_may_ask_not_to_be_recorded(door: Door, word: bytes, *, record: bool) -> None:
    admission = door.admitted([*named(door.key()), (b"x-offramp-record", word)])
    assert admission.record is record
    assert b"x-offramp-record" in admission.drop


def test_a_client_may_ask_not_to_be_recorded_without_keys_too(door: Door) -> None:
    assert not door.admitted([(b"x-offramp-record", b"no")]).record


def test_paths_may_be_left_out_of_the_record() -> None:
    door = Door(rules=RouteRules.of("/v1/embeddings, /v1/responses"))
    assert not door.admitted(path="/v1/embeddings?x=1").record
    assert not door.admitted(path="/v1/responses/resp_1").record
    assert door.admitted(path="/v1/embeddings-2").record
    assert door.admitted().record


def test_the_terms_of_each_teacher_decide_about_training() -> None:
    door = Door(rules=RouteRules.of("", trainable=True, anthropic_trainable=False))
    assert door.admitted().trainable
    assert not door.admitted(path="/v1/messages").trainable
    other = Door(rules=RouteRules.of("", trainable=False))
    assert not other.admitted().trainable
    assert other.admitted(path="/v1/messages").trainable


def test_a_key_cannot_allow_what_the_teachers_terms_forbid() -> None:
    door = Door(rules=RouteRules.of("", trainable=False))
    assert not door.admitted(named(door.key())).trainable


def test_health_needs_no_key(door: Door) -> None:
    door.key()
    assert door.admitted(path="/health").who == ""


@pytest.mark.parametrize("path", ["/offramp/anything", "/", "/v1x", "/metricsx", "/offramp/statusx"])
def test_a_path_that_is_not_listed_is_the_admins_alone(door: Door, path: str) -> None:
    for role in Role:
        said = door.admit(named(door.key(role)), path)
        assert isinstance(said, Admission) is (role is Role.ADMIN)


def test_the_same_request_is_judged_anew_where_the_path_differs(door: Door) -> None:
    text = door.key(Role.VIEWER)
    door.admitted(named(text), "/metrics")
    assert door.refused(named(text)).status == 403
    door.admitted(named(text), "/metrics")


NAMES = st.sampled_from([b"authorization", b"x-api-key", b"x-offramp-key", b"x-offramp-record", b"cookie"])
VALUES = st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda rest: b"Bearer ofk_" + rest))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.text(max_size=40), st.text(max_size=8))
def test_whatever_is_sent_without_a_key_is_refused_and_never_raises(
    headers: list[tuple[bytes, bytes]], path: str, method: str
) -> None:
    said = KEYED.guard.admit(method, "/v1/" + path, headers)
    assert isinstance(said, Refusal)
    assert said.status == 401
    assert isinstance(KEYED.guard.admit(method, path, headers), Refusal)
    OPEN.guard.admit(method, path, headers)


def test_the_memory_of_a_guard_is_bounded(door: Door) -> None:
    text = door.key()
    for number in range(10_000):
        door.admitted(named(text), f"/v1/files/{number}")
    door.admitted(named(text), "/v1/" + "x" * 10_000)
    assert len(door.guard._settled) <= 4096
    assert max(len(path) for path, _ in door.guard._settled) < 1024


def test_the_hour_of_the_last_use_is_kept_and_no_more(door: Door) -> None:
    text = door.key()
    door.now = 7_200.0 + 1_234.5
    door.admitted(named(text))
    door.guard.reload(door.store)
    assert list(door.keys.last_used().values()) == [7_200.0]


def test_use_does_not_undo_a_revocation(door: Door) -> None:
    text = door.key()
    door.admitted(named(text))
    door.keys.revoke("key 0")
    door.guard.reload(door.store)
    door.guard.reload(door.store)
    assert door.keys.all()[0].revoked is not None


def test_actions_of_paths_are_whole_segments() -> None:
    assert action_of("/offramp/calls/abc") is action_of("/offramp/calls")
    assert action_of("/openapi.json") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_a_loopback_address_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    check_binding(host, 0)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.5", "192.168.1.2", "gateway.internal", "::ffff:7f00:1"]
)
def test_any_other_address_needs_keys(host: str) -> None:
    with pytest.raises(BadSetting, match="offramp keys add"):
        check_binding(host, 0)
    check_binding(host, 1)
