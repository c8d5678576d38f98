from __future__ import annotations

import re
import string
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.access import token
from offramp.access.keys import KEY, Grant, Key, Keys, Scopes
from offramp.access.roles import Role
from offramp.core.errors import BadInput, NotFound
from offramp.testing.memory_store import MemoryStore

SECRET = b"k" * 32
DAY = 86_400.0


@dataclass
class Clock:
    at: float = 1_000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def keys(store: MemoryStore, clock: Clock) -> Keys:
    return Keys(store, SECRET, clock=clock)


def test_a_key_has_the_form_that_scanners_look_for(keys: Keys) -> None:
    key, text = keys.add(Grant("ci", Role.AGENT))
    assert re.fullmatch(r"ofk_[0-9a-z]{10}_[0-9A-Za-z]{44}", text)
    assert token.read(text) == key.id


def test_nothing_of_the_secret_is_stored(keys: Keys, store: MemoryStore) -> None:
    _, text = keys.add(Grant("ci", Role.AGENT))
    secret = text.rpartition("_")[2]
    assert secret not in repr(store.documents(KEY))
    assert text not in repr(keys.all())


def test_a_key_comes_back_as_it_was_made(keys: Keys) -> None:
    scopes = Scopes(paths=("/v1/chat",), models=("gpt-4o",))
    grant = Grant(
        "team a", Role.AGENT, days=2, scopes=scopes, calls_per_minute=60, record=False, trainable=False
    )
    made, _ = keys.add(grant)
    (read,) = keys.all()
    assert read == made
    assert (read.expires, read.scopes, read.record, read.trainable) == (
        1_000.0 + 2 * DAY,
        scopes,
        False,
        False,
    )


def test_the_hash_depends_on_the_id_and_on_the_installation() -> None:
    number, text = token.mint()
    stored = token.hashed(SECRET, number, text)
    assert token.matches(SECRET, number, text, stored)
    assert not token.matches(b"j" * 32, number, text, stored)
    assert not token.matches(SECRET, "0000000000", text, stored)


@given(st.data())
def test_a_mistyped_key_is_seen_without_a_store(data: st.DataObject) -> None:
    _, text = token.mint()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(string.printable).filter(lambda char: char != text[at]))
    assert token.read(text[:at] + other + text[at + 1 :]) is None


@given(st.text(max_size=80))
def test_any_text_that_is_no_key_is_read_as_none(text: str) -> None:
    assert token.read(text) is None
    assert token.read("ofk_" + text) is None


def test_a_revoked_key_stays_listed_and_no_longer_holds(keys: Keys, clock: Clock) -> None:
    key, _ = keys.add(Grant("ci", Role.AGENT))
    clock.at = 2_000.0
    assert keys.revoke("ci").revoked == 2_000.0
    (read,) = keys.all()
    assert read.id == key.id
    assert read.refusal(3_000.0) == "was revoked"


def test_a_key_is_revoked_once(keys: Keys) -> None:
    key, _ = keys.add(Grant("ci", Role.AGENT))
    keys.revoke(key.id)
    with pytest.raises(NotFound, match="No key that holds is called"):
        keys.revoke(key.id)


def test_a_key_expires(keys: Keys) -> None:
    key, _ = keys.add(Grant("ci", Role.AGENT, days=1))
    assert key.refusal(1_000.0 + DAY - 1) == ""
    assert key.refusal(1_000.0 + DAY) == "has expired"


def test_two_keys_that_hold_have_two_names(keys: Keys) -> None:
    keys.add(Grant("ci", Role.AGENT))
    with pytest.raises(BadInput, match="There is a key named 'ci'"):
        keys.add(Grant("ci", Role.VIEWER))
    keys.revoke("ci")
    keys.add(Grant("ci", Role.VIEWER))


@pytest.mark.parametrize(
    "grant",
    [
        Grant(" ", Role.AGENT),
        Grant("a", Role.AGENT, days=0),
        Grant("a", Role.AGENT, calls_per_minute=-1),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(keys: Keys, grant: Grant) -> None:
    with pytest.raises(BadInput):
        keys.add(grant)
    assert keys.all() == []


def test_a_key_survives_json(keys: Keys) -> None:
    key, _ = keys.add(Grant("a", Role.ADMIN))
    assert Key.from_dict(key.to_dict()) == key
