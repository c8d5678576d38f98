"""Keys: who may use an installation, for what, how often and until when."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Self

from offramp.access import token
from offramp.access.roles import Role
from offramp.core.clock import Clock, SystemClock
from offramp.core.errors import BadInput, NameTaken, NotFound

if TYPE_CHECKING:
    from offramp.core.json import JsonObject
    from offramp.storage.port import Store

KEY, USED = "key", "key_used"
"""Kinds of the documents: a key, and the hour it was last used in (apart: use never undoes a change)."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What of its role a key may use; empty means all.

    Attributes:
        paths: Beginnings of paths: ``/v1/chat``.
        models: Names of models that may be asked for.
    """

    paths: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without its secret.

    Attributes:
        id: Names it everywhere, the audit log included; part of the key's text.
        name: Who or what it is for, in the admin's words.
        role: What it may do.
        hash: HMAC of the key's text; see `offramp.access.token`.
        created: Seconds since the epoch.
        expires: Seconds since the epoch, None for never.
        revoked: Seconds since the epoch, None while it holds.
        scopes: What of its role it may use.
        calls_per_minute: Most calls in a minute, 0 for no limit.
        record: Whether its calls are recorded.
        trainable: Whether its calls may be trained on.
    """

    id: str
    name: str
    role: Role
    hash: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    scopes: Scopes = field(default_factory=Scopes)
    calls_per_minute: int = 0
    record: bool = True
    trainable: bool = True

    def refusal(self, now: float) -> str:
        """Say why the key does not hold at a time, "" where it does."""
        if self.revoked is not None:
            return "was revoked"
        return "has expired" if self.expires is not None and now >= self.expires else ""

    def to_dict(self) -> JsonObject:
        """Render as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: JsonObject) -> Self:
        """Read what `to_dict` wrote."""
        kept = value["scopes"]
        scopes = Scopes(paths=tuple(kept["paths"]), models=tuple(kept["models"]))
        return cls(**{**value, "role": Role(value["role"]), "scopes": scopes})


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new key is to be.

    Attributes:
        name: Who or what it is for.
        role: What it may do.
        days: Days until it expires, None for never.
        scopes: What of its role it may use.
        calls_per_minute: Most calls in a minute, 0 for no limit.
        record: Whether its calls are recorded.
        trainable: Whether its calls may be trained on.
    """

    name: str
    role: Role
    days: float | None = None
    scopes: Scopes = field(default_factory=Scopes)
    calls_per_minute: int = 0
    record: bool = True
    trainable: bool = True


class Keys:
    """The keys of one installation.

    Args:
        store: Keeps them, as documents.
        secret: Key of the hashes, derived from the master key for this purpose alone.
        clock: Times of creation and revocation.
    """

    def __init__(self, store: Store, secret: bytes, *, clock: Clock | None = None) -> None:
        self._store = store
        self._secret = secret
        self._clock = clock or SystemClock()

    def add(self, grant: Grant) -> tuple[Key, str]:
        """Make a key.

        Returns:
            The key, and its text, which nothing keeps: it can be shown this once.

        Raises:
            BadInput: The name is empty, or a limit is negative.
            NameTaken: A key that holds has the name.
        """
        self._check(grant)
        now = self._clock.now()
        number, text = token.mint()
        key = Key(
            id=number,
            name=grant.name,
            role=grant.role,
            hash=token.hashed(self._secret, number, text),
            created=now,
            expires=None if grant.days is None else now + grant.days * 86_400.0,
            scopes=grant.scopes,
            calls_per_minute=grant.calls_per_minute,
            record=grant.record,
            trainable=grant.trainable,
        )
        self._store.put(KEY, key.id, key.to_dict())
        return key, text

    def _check(self, grant: Grant) -> None:
        if not grant.name.strip():
            raise BadInput("A key needs a name.", hint="Say who or what it is for.")
        if grant.calls_per_minute < 0 or (grant.days is not None and grant.days <= 0):
            raise BadInput(
                f"Calls per minute are {grant.calls_per_minute} and days {grant.days}; "
                "neither may be negative, and a key holds for more than 0 days."
            )
        now = self._clock.now()
        if any(key.name == grant.name and not key.refusal(now) for key in self.all()):
            raise NameTaken(
                f"There is a key named {grant.name!r}.", hint="Take another name, or revoke that one."
            )

    def all(self) -> list[Key]:
        """Read every key, revoked ones too, oldest first."""
        keys = [Key.from_dict(value) for value in self._store.documents(KEY).values()]
        return sorted(keys, key=lambda key: (key.created, key.id))

    def last_used(self) -> dict[str, float]:
        """Read the hour in which each key was last used, seconds since the epoch by id."""
        return {number: float(value["at"]) for number, value in self._store.documents(USED).items()}

    def revoke(self, wanted: str) -> Key:
        """Revoke a key, by id or name; gateways follow within a second. A key once revoked stays listed.

        Raises:
            NotFound: No key that holds is called so.
        """
        now = self._clock.now()
        for key in self.all():
            if wanted in (key.id, key.name) and key.revoked is None:
                revoked = replace(key, revoked=now)
                self._store.put(KEY, key.id, revoked.to_dict())
                return revoked
        raise NotFound(f"No key that holds is called {wanted!r}.", hint="`offramp keys list` names them.")
