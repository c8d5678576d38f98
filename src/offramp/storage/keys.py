"""The keys of a store: data keys and secrets, kept in it, wrapped under the master key.

While the master key is being replaced every wrapped key is there twice, so that the old key file and the
new one both open the store; the first opening with the new one ends that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from offramp.core.errors import StorageError, WrongKey
from offramp.storage.crypto import Vault, derive_key, key_of, unwrap_secret, wrap_secret

if TYPE_CHECKING:
    import sqlite3

    from offramp.storage.database import Database

ROOTS = ("redact", "pseudonym")
"""Secrets that every store has from its first opening on, so that no later master key can change them."""

_WRAPPED = "SELECT number, wrapped FROM data_keys"
_NEXT = "SELECT number, next FROM data_keys WHERE next IS NOT NULL"


class KeyRing:
    """Opens and makes the keys of one store.

    Args:
        database: Where they are kept.
        master: The master key, 32 bytes.

    Raises:
        WrongKey: The master key does not open the store.
    """

    def __init__(self, database: Database, master: bytes) -> None:
        self._database = database
        self._master = master
        self._secrets: dict[str, bytes] = {}
        self.vault = self._open()
        for purpose in ROOTS:
            self.secret(purpose)

    def refresh(self) -> Vault:
        """Load data keys that another process has made since, and return the vault.

        A process that still has the old master key goes on with the data keys it knows.

        Raises:
            WrongKey: It has the old master key, and its data key was dropped.
        """
        if self._database.value("SELECT max(number) FROM data_keys") != self.vault.current:
            rows: dict[int, bytes] = dict(self._database.rows(_WRAPPED))
            try:
                self.vault = Vault(self._master, rows)
            except WrongKey as error:
                if self.vault.current not in rows:
                    raise WrongKey(
                        "The master key was replaced since this process opened the store.",
                        hint="Start it again.",
                    ) from error
        return self.vault

    def vault_for(self, sealed: bytes) -> Vault:
        """Return a vault that opens something, as far as the store has the key for it."""
        return self.vault if self.vault.holds(key_of(sealed)) else self.refresh()

    def rotate(self) -> int:
        """Make a new data key, which seals from now on; return its number."""
        with self._database.transaction(durable=True) as connection:
            self._check(connection)
            number = int(connection.execute("SELECT max(number) FROM data_keys").fetchone()[0]) + 1
            wrapped = Vault.wrap(self._master, number)
            connection.execute("INSERT INTO data_keys (number, wrapped) VALUES (?, ?)", (number, wrapped))
        self.refresh()
        return number

    def secret(self, purpose: str) -> bytes:
        """Return the secret for a purpose, made from the master key on first use and kept ever after."""
        if purpose not in self._secrets:
            wrapped = self._wrapped_secret(purpose)
            if wrapped is None:
                wrapped = self._keep_secret(purpose)
            self._secrets[purpose] = unwrap_secret(self._master, purpose, wrapped)
        return self._secrets[purpose]

    def stage(self, new: bytes) -> None:
        """Wrap every key under a new master key as well; from here on both open the store."""
        with self._database.transaction(durable=True) as connection:
            keys = connection.execute(_WRAPPED).fetchall()
            secrets = connection.execute("SELECT purpose, wrapped FROM secrets").fetchall()
            connection.executemany(
                "UPDATE data_keys SET next = ? WHERE number = ?",
                [(Vault.rewrap(self._master, new, number, blob), number) for number, blob in keys],
            )
            connection.executemany(
                "UPDATE secrets SET next = ? WHERE purpose = ?",
                [(wrap_secret(new, name, unwrap_secret(self._master, name, w)), name) for name, w in secrets],
            )

    def adopt(self, new: bytes) -> None:
        """Leave the old master key behind."""
        with self._database.transaction(durable=True) as connection:
            for table in ("data_keys", "secrets"):
                connection.execute(f"UPDATE {table} SET wrapped = next, next = NULL WHERE next IS NOT NULL")  # noqa: S608 - constants
        self._master = new
        self.vault = Vault(new, dict(self._database.rows(_WRAPPED)))

    def _open(self) -> Vault:
        rows = self._database.rows(_WRAPPED)
        if not rows:
            with self._database.transaction(durable=True) as connection:
                # Another process may have been first.
                connection.execute(
                    "INSERT OR IGNORE INTO data_keys (number, wrapped) VALUES (1, ?)",
                    (Vault.wrap(self._master, 1),),
                )
            rows = self._database.rows(_WRAPPED)
        try:
            return Vault(self._master, dict(rows))
        except WrongKey:
            if not opens_next(dict(self._database.rows(_NEXT)), self._master):
                raise
        self.adopt(self._master)
        return self.vault

    def _wrapped_secret(self, purpose: str) -> bytes | None:
        found: bytes | None = self._database.value(
            "SELECT wrapped FROM secrets WHERE purpose = ?", (purpose,)
        )
        return found

    def _keep_secret(self, purpose: str) -> bytes:
        with self._database.transaction(durable=True) as connection:
            self._check(connection)
            wrapped = wrap_secret(self._master, purpose, derive_key(self._master, purpose))
            connection.execute(
                "INSERT OR IGNORE INTO secrets (purpose, wrapped) VALUES (?, ?)", (purpose, wrapped)
            )
            row = connection.execute("SELECT wrapped FROM secrets WHERE purpose = ?", (purpose,)).fetchone()
        kept: bytes = row[0]
        return kept

    def _check(self, connection: sqlite3.Connection) -> None:
        """Make sure that what is wrapped now will be opened by whoever comes next."""
        if connection.execute(_NEXT).fetchone():
            raise StorageError(
                "The master key is being replaced, or that was interrupted; no key can be made now.",
                hint="Finish it: offramp store rotate-master.",
            )
        Vault(self._master, dict(connection.execute(_WRAPPED).fetchall()))


def check_master(connection: sqlite3.Connection, master: bytes) -> None:
    """Make sure that a master key opens a store of any version, reading only.

    Raises:
        WrongKey: It does not.
    """
    try:
        Vault(master, dict(connection.execute(_WRAPPED).fetchall()))
    except WrongKey:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(data_keys)")}
        staged = dict(connection.execute(_NEXT).fetchall()) if "next" in columns else {}
        if not opens_next(staged, master):
            raise


def opens_next(staged: dict[int, bytes], master: bytes) -> bool:
    """Say whether a master key opens the keys that were wrapped for the next one."""
    try:
        Vault(master, staged)
    except WrongKey:
        return False
    return bool(staged)
