from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offramp.core.errors import StorageError, WrongKey
from offramp.storage.crypto import Vault, create_key, derive_key, load_key

if TYPE_CHECKING:
    from pathlib import Path

MASTER = b"m" * 32
VAULT = Vault(MASTER, {1: Vault.wrap(MASTER, 1)})


@given(st.binary(max_size=200), st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_was_sealed_opens_again(plain: bytes, context: str) -> None:
    assert VAULT.open(VAULT.seal(plain, context), context) == plain


def test_the_same_text_never_seals_to_the_same_bytes() -> None:
    assert VAULT.seal(b"text", "c") != VAULT.seal(b"text", "c")


def test_a_sealed_record_does_not_open_as_another() -> None:
    with pytest.raises(StorageError, match="another record"):
        VAULT.open(VAULT.seal(b"text", "call/1/request"), "call/2/request")


@pytest.mark.parametrize("place", [0, 3, 5, 20, -1])
def test_an_altered_byte_is_noticed(place: int) -> None:
    sealed = bytearray(VAULT.seal(b"some text", "c"))
    sealed[place] ^= 1
    with pytest.raises(StorageError):
        VAULT.open(bytes(sealed), "c")


@pytest.mark.parametrize("size", [0, 3, 4, 15, 20])
def test_a_cut_record_is_noticed(size: int) -> None:
    with pytest.raises(StorageError):
        VAULT.open(VAULT.seal(b"some text", "c")[:size], "c")


def test_another_master_key_opens_nothing() -> None:
    with pytest.raises(WrongKey, match="does not open this store"):
        Vault(b"x" * 32, {1: Vault.wrap(MASTER, 1)})


def test_a_data_key_does_not_pass_for_another_number() -> None:
    with pytest.raises(WrongKey):
        Vault(MASTER, {2: Vault.wrap(MASTER, 1)})


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(WrongKey, match="32 bytes, this one 5"):
        Vault(b"short", {})


def test_old_data_keys_still_open_and_the_newest_seals() -> None:
    old, new = Vault.wrap(MASTER, 1), Vault.wrap(MASTER, 2)
    sealed = Vault(MASTER, {1: old}).seal(b"text", "c")
    both = Vault(MASTER, {1: old, 2: new})
    assert both.open(sealed, "c") == b"text"
    with pytest.raises(WrongKey, match="data key 2"):
        Vault(MASTER, {1: old}).open(both.seal(b"text", "c"), "c")


def test_keys_of_different_purposes_differ() -> None:
    assert len({derive_key(MASTER, purpose) for purpose in ("redact", "pseudonym", "redact")}) == 2


def test_a_key_file_is_created_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "home" / "key"
    first = load_key(path, create=True)
    assert load_key(path, create=True) == load_key(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_two_starting_at_once_get_one_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_key(tmp_path / "key", create=True)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_missing_key_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WrongKey, match="There is no key file"):
        load_key(tmp_path / "none")


@pytest.mark.parametrize("text", ["", "secret", "offramp-key-1:", "offramp-key-1:AAAA", "offramp-key-1:!!!!"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(WrongKey, match="is no key file"):
        load_key(path)


def test_a_key_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xff\xfe" + create_key())
    with pytest.raises(WrongKey, match="cannot be read"):
        load_key(path)


def test_a_key_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        load_key(tmp_path / "file" / "key", create=True)
