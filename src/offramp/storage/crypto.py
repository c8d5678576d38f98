"""Envelope encryption: a master key wraps data keys, data keys encrypt records (AES-256-GCM)."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from offramp.core.errors import StorageError, WrongKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 4
_HEADER = "offramp-key-1:"


def create_key() -> bytes:
    """Return a new random master key of 32 bytes."""
    return secrets.token_bytes(KEY_BYTES)


def load_key(path: Path, *, create: bool = False) -> bytes:
    """Read a master key file, creating it (mode 0600) where it is absent and ``create`` is set.

    Returns:
        32 bytes.

    Raises:
        WrongKey: There is no file, or it holds no key.
    """
    if create:
        _create_once(path)
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise WrongKey(
            f"There is no key file at {path}.", hint="Point the setting at the store's key."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongKey(f"The key file {path} cannot be read ({type(error).__name__}).") from error
    try:
        key = base64.b64decode(text.removeprefix(_HEADER), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(_HEADER) or len(key) != KEY_BYTES:
        raise WrongKey(f"{path} is no key file: expected one line that starts with {_HEADER!r}.")
    return key


def _create_once(path: Path) -> None:
    """Write a fresh key under a name of its own and link it into place: never half a file, never two keys."""
    if path.exists():
        return
    with _draft(path, create_key()) as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)


def replace_key(path: Path, key: bytes) -> None:
    """Put another key into a key file; at every moment the file holds the one or the other.

    Raises:
        StorageError: It cannot be written.
    """
    with _draft(path, key) as draft:
        draft.replace(path)


@contextlib.contextmanager
def _draft(path: Path, key: bytes) -> Iterator[Path]:
    """Write a key file beside another, on disk before it is used, and gone after."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(_HEADER + base64.b64encode(key).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield draft
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"The key file {path} cannot be written ({error.strerror}).") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def derive_key(master: bytes, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose (``"redact"``, ``"pseudonyms"``), by HKDF (RFC 5869).

    Keys of different purposes tell nothing about one another or about the master key.
    """
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"offramp {purpose}".encode()).derive(master)


class Vault:
    """Seals and opens records with data keys that only the master key opens.

    Args:
        master: 32 bytes.
        wrapped: Wrapped data keys by number, as ``wrap`` gave them; the highest number seals.

    Raises:
        WrongKey: The master key does not open a data key.
    """

    def __init__(self, master: bytes, wrapped: Mapping[int, bytes]) -> None:
        _check_length(master)
        wrapping = AESGCM(_wrapping(master))
        self._ciphers = {
            number: AESGCM(_unwrap(wrapping, blob, _key_context(number))) for number, blob in wrapped.items()
        }
        self.current = max(wrapped, default=0)

    @staticmethod
    def wrap(master: bytes, number: int) -> bytes:
        """Return a new data key, wrapped under the master key for use as ``number``."""
        _check_length(master)
        return _wrap(master, create_key(), _key_context(number))

    @staticmethod
    def rewrap(master: bytes, new: bytes, number: int, blob: bytes) -> bytes:
        """Return a wrapped data key, wrapped under another master key.

        Raises:
            WrongKey: The first master key does not open it.
        """
        context = _key_context(number)
        return _wrap(new, _unwrap(AESGCM(_wrapping(master)), blob, context), context)

    def holds(self, number: int) -> bool:
        """Say whether a data key is in the vault."""
        return number in self._ciphers

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt; what comes out opens only under the same context (table, record id, field)."""
        number = self.current.to_bytes(_ID_BYTES)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return number + nonce + self._ciphers[self.current].encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt.

        Raises:
            WrongKey: No data key opens it.
            StorageError: It was altered, or sealed for another record.
        """
        number = key_of(sealed)
        cipher = self._ciphers.get(number)
        if cipher is None:
            raise WrongKey(
                f"Record {context} is sealed with data key {number}, which this store does not hold."
            )
        nonce, body = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], sealed[_ID_BYTES + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError) as error:
            raise StorageError(
                f"Record {context} was altered, or belongs to another record.",
                hint="Restore it from a backup.",
            ) from error


def key_of(sealed: bytes) -> int:
    """Return the number of the data key that something is sealed with."""
    return int.from_bytes(sealed[:_ID_BYTES])


def wrap_secret(master: bytes, purpose: str, secret: bytes) -> bytes:
    """Wrap a secret under the master key, for one purpose."""
    return _wrap(master, secret, _secret_context(purpose))


def unwrap_secret(master: bytes, purpose: str, wrapped: bytes) -> bytes:
    """Open what ``wrap_secret`` made.

    Raises:
        WrongKey: The master key, or the purpose, is another.
    """
    return _unwrap(AESGCM(_wrapping(master)), wrapped, _secret_context(purpose))


def _check_length(master: bytes) -> None:
    if len(master) != KEY_BYTES:
        raise WrongKey(f"A master key has {KEY_BYTES} bytes, this one {len(master)}.")


def _wrapping(master: bytes) -> bytes:
    return derive_key(master, "wrap data keys")


def _key_context(number: int) -> bytes:
    return f"data key {number}".encode()


def _secret_context(purpose: str) -> bytes:
    return f"secret {purpose}".encode()


def _wrap(master: bytes, plain: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_wrapping(master)).encrypt(nonce, plain, context)


def _unwrap(wrapping: AESGCM, wrapped: bytes, context: bytes) -> bytes:
    try:
        return wrapping.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise WrongKey(
            "The key does not open this store.", hint="Use the key file that the store was created with."
        ) from error
