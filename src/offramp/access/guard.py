"""The door of the gateway: who asks, may they, and what becomes of their call. Asked in memory only."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offramp.access import token
from offramp.access.credentials import WATCHED, Shown, read_fields
from offramp.access.keys import KEY, USED, Key
from offramp.access.rate import Bucket
from offramp.access.roles import Action, permits
from offramp.access.routes import RouteRules, action_of
from offramp.core.admission import Admission, Refusal
from offramp.core.errors import BadSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offramp.storage.port import Store

_REMEMBERED = 4096
_LONGEST = 1024
_HOUR_S = 3600.0
_HOW = (
    "Send an offramp key in x-offramp-key (the provider's credential stays where it is), or in place of "
    "the provider's: Authorization: Bearer ofk_... or x-api-key. `offramp keys add` makes one."
)


class Guard:
    """Admits or refuses requests by the keys of a store, as they were when last loaded.

    Asking takes no lock, no file and no await; `reload` is called now and then (a second apart) and is the
    only part that touches the store. Once it has seen a key, it never again lets in a request without one.

    Args:
        secret: Key of the keys' hashes: the one that `offramp.access.keys.Keys` got.
        pseudonym: Makes the pseudonym of a key's id.
        rules: What holds of paths, whoever asks.
        open_without_keys: Whether calls are let in while there are no keys: on a loopback address only.
            Bodies are not read, and nothing is changed, without a key in any case.
        now: Seconds since the epoch.
        tick: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        pseudonym: Callable[[str], str],
        rules: RouteRules | None = None,
        open_without_keys: bool = True,
        now: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = secret
        self._pseudonym = pseudonym
        self._rules = rules or RouteRules()
        self._open = open_without_keys
        self._now = now
        self._tick = tick
        self._seats: dict[str, _Seat] = {}
        # By path and credential as sent, so that a key that comes again is neither hashed nor judged again.
        self._settled: dict[_Asked, _Settled] = {}

    def reload(self, store: Store) -> int:
        """Take over the store's keys and write down which were used; return how many there are.

        Raises:
            StorageError: The store cannot be read; the keys loaded before stay in force.
        """
        self._write_use(store)
        keys = [Key.from_dict(value) for value in store.documents(KEY).values()]
        seats = {key.id: self._seat(key) for key in keys}
        if seats != self._seats:
            self._seats, self._settled = seats, {}
        self._open = self._open and not seats
        return len(seats)

    def _seat(self, key: Key) -> _Seat:
        seat = self._seats.get(key.id)
        if seat is None or seat.key != key:
            same_limit = seat is not None and seat.key.calls_per_minute == key.calls_per_minute
            bucket = seat.bucket if seat is not None and same_limit else Bucket.of(key.calls_per_minute)
            seat = _Seat(key, self._pseudonym(key.id), bucket, seat.used if seat else 0.0)
        return seat

    def _write_use(self, store: Store) -> None:
        for seat in self._seats.values():
            hour = seat.used - seat.used % _HOUR_S
            if hour > seat.written:
                store.put(USED, seat.key.id, {"at": hour})
                seat.written = hour

    def admit(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], client: str = ""
    ) -> Admission | Refusal:
        """Say whether a request may go on.

        Args:
            method: HTTP method.
            path: The whole path, with or without its query: ``/v1/chat/completions``.
            headers: Header fields, names in lower case.
            client: Address of the client; who may ask does not depend on it.
        """
        del client
        watched = tuple([field for field in headers if field[0] in WATCHED])
        settled = self._settled.get((path, watched))
        if settled is None:
            decided = self._settle(method, path.partition("?")[0], watched)
            if isinstance(decided, Refusal):
                return decided
            settled = self._settled_once((path, watched), decided)
        admission, seat = settled
        return admission if seat is None else seat.spend(self._now(), self._tick()) or admission

    def _settled_once(self, asked: _Asked, decided: _Settled) -> _Settled:
        path, watched = asked
        if len(path) + sum(len(value) for _, value in watched) > _LONGEST:
            return decided
        if len(self._settled) >= _REMEMBERED:
            self._settled.clear()
        self._settled[asked] = decided
        return decided

    def _settle(self, method: str, path: str, watched: Sequence[tuple[bytes, bytes]]) -> _Settled | Refusal:
        """Decide all that does not depend on the time of the request."""
        shown = read_fields(watched)
        action = action_of(path)
        if action is None or (self._open and not self._seats):
            if action in WITHOUT_KEYS:
                return self._admission(None, path, shown), None
            return Refusal(401, f"{method} {path} needs a key with the right to {action}. {_HOW}")
        seat = self._verified(shown.token)
        if isinstance(seat, Refusal):
            return seat
        return seat.forbids(action, method, path) or (self._admission(seat, path, shown), seat)

    def refuses(self, admission: Admission, model: str) -> Refusal | None:
        """Say whether a call may not ask for a model; asked where ``admission.models`` is not empty."""
        if not admission.models or model in admission.models:
            return None
        allowed = ", ".join(admission.models)
        return Refusal(403, f"The key does not allow the model {model!r}; allowed: {allowed}.")

    def _admission(self, seat: _Seat | None, path: str, shown: Shown) -> Admission:
        key = seat.key if seat is not None else None
        return Admission(
            seat.who if seat is not None else "",
            not shown.quiet and (key is None or key.record) and self._rules.records(path),
            (key is None or key.trainable) and self._rules.may_train(path),
            shown.drop,
            key.scopes.models if key is not None else (),
            key.id if key is not None else "",
        )

    def _verified(self, credential: bytes) -> _Seat | Refusal:
        """Look a credential up by its id and compare the hash in constant time."""
        if not credential:
            return Refusal(401, f"No offramp key came with the request. {_HOW}")
        text = credential.decode("latin-1")
        seat = self._seats.get(token.read(text) or "")
        if seat is None or not token.matches(self._secret, seat.key.id, text, seat.key.hash):
            return Refusal(401, f"The offramp key is not known here, or was mistyped. {_HOW}")
        return seat


@dataclass(slots=True)
class _Seat:
    """A key in force.

    Attributes:
        key: The key.
        who: Its pseudonym.
        bucket: What is left of its rate, None where it has no limit.
        used: When it was last admitted, seconds since the epoch.
        written: The hour of use that the store knows.
    """

    key: Key
    who: str
    bucket: Bucket | None
    used: float = 0.0
    written: float = 0.0

    def spend(self, now: float, tick: float) -> Refusal | None:
        """Use the key once; refuse where it has ended or its calls are used up."""
        key = self.key
        if key.revoked is not None or key.expires is not None:
            ended = key.refusal(now)
            if ended:
                return Refusal(401, f"The key {key.id} {ended}. `offramp keys add` makes another.")
        if self.bucket is not None and (wait := self.bucket.take(tick)):
            limit = f"{key.calls_per_minute} calls a minute"
            return Refusal(429, f"The key {key.id} allows {limit}; try again in {wait} s.", wait)
        self.used = now
        return None

    def forbids(self, action: Action, method: str, path: str) -> Refusal | None:
        """Say whether role or scope do not allow a request."""
        key = self.key
        if not permits(key.role, action):
            return Refusal(
                403, f"{method} {path} needs the right to {action}, which the role {key.role} does not have."
            )
        paths = key.scopes.paths
        if paths and not path.startswith(paths):
            return Refusal(403, f"The key {key.id} allows {', '.join(paths)}, not {path}.")
        return None


WITHOUT_KEYS = (None, Action.CALL, Action.READ_STATUS, Action.METRICS, Action.READ_TASKS)
"""What an installation without keys lets everybody on its machine do, a page in a browser included."""

_Asked = tuple[str, tuple[tuple[bytes, bytes], ...]]
_Settled = tuple[Admission, _Seat | None]


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only; names other than localhost count as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(host: str, keys: int) -> None:
    """Refuse to listen where others can reach an installation that asks nobody for a key.

    Args:
        host: Address to listen on.
        keys: How many keys there are.

    Raises:
        BadSetting: The address is not a loopback one, and there are no keys.
    """
    if keys == 0 and not is_loopback(host):
        raise BadSetting(
            f"gateway.host is {host!r}, which others can reach, and there are no keys: anybody could use "
            "the gateway. Without keys only a loopback address (127.0.0.1, ::1, localhost) is allowed.",
            hint="Make a key first: offramp keys add NAME --role agent.",
        )
