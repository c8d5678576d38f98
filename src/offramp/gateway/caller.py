"""What the header fields of a call say: who asks, in which run, and what the teacher is to see."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from offramp.record.pseudonym import who_asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offramp.gateway.wire import Admission, Asked
    from offramp.record.pseudonym import Pseudonyms
    from offramp.upstream.port import Headers

_OURS = b"x-offramp-"
_CREDENTIALS = (b"authorization", b"x-api-key", b"api-key")
_SESSIONS = (b"x-offramp-session", b"x-session-id")
_ACCEPTED = b"accept-encoding"
_RECORD = b"x-offramp-record"
_READ = frozenset({*_CREDENTIALS, *_SESSIONS, _ACCEPTED, _RECORD})
_NO = frozenset({b"no", b"false", b"0", b"off"})
# Compression that the recorder undoes; how good it is, is between client and teacher.
_READABLE = frozenset({b"gzip", b"deflate", b"identity"})
# Remembered at most; an agent fleet has few keys, and a flood of made-up ones must not fill the memory.
_REMEMBERED = 4096


class Caller:
    """Who asks for one call.

    Attributes:
        who: Keyed pseudonym of the credential, or of the client's address where there is none.
        run: Keyed pseudonym of the session named in a header, "" where none is.
        forward: The header fields that the teacher gets.
        record: Whether the call may be recorded.
        trainable: Whether it may be trained on.
        key: Id of the offramp key that came with it, "" where none did.
    """

    __slots__ = ("forward", "key", "record", "run", "trainable", "who")

    def __init__(
        self, who: str, run: str, forward: Headers, *, record: bool, trainable: bool, key: str = ""
    ) -> None:
        self.key = key
        self.who = who
        self.run = run
        self.forward = forward
        self.record = record
        self.trainable = trainable


class Callers:
    """Reads callers off header fields; pseudonyms are remembered, for the 4,096 last used.

    Args:
        pseudonyms: Make pseudonyms of who asked, before anything leaves the request path.
    """

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        def who(credential: bytes, client: str) -> str:
            return who_asked(pseudonyms, credential.decode("latin-1"), client)

        def run(session: bytes) -> str:
            return pseudonyms.of("run", session.decode("latin-1"))

        self._who = lru_cache(_REMEMBERED)(who)
        self._run = lru_cache(_REMEMBERED)(run)
        self._readable = lru_cache(_REMEMBERED)(_readable)
        self._watched = _Watched()

    def read(self, asked: Asked, admitted: Admission, *, recorded: bool) -> Caller:
        """Read the caller of a request.

        Args:
            asked: The request.
            admitted: What the guard said of it.
            recorded: Whether its path is recorded at all; the teacher may then compress only as the
                recorder can read.
        """
        headers, watched = asked.headers, self._watched
        found: dict[bytes, bytes] = {}
        ours = bool(admitted.drop)
        for name, value in [field for field in headers if watched[field[0]]]:
            found.setdefault(name, value)
            ours = ours or name.startswith(_OURS)
        # Most requests hold nothing that is not for the teacher, and are passed on without a copy.
        forward = _without(headers, admitted.drop) if ours else headers
        if not recorded or not admitted.record or found.get(_RECORD, b"").strip().lower() in _NO:
            return Caller("", "", forward, record=False, trainable=False, key=admitted.key)
        accepted = found.get(_ACCEPTED)
        if accepted is not None and (readable := self._readable(accepted)) != accepted:
            forward = [(_ACCEPTED, readable) if field[0] == _ACCEPTED else field for field in forward]
        who = admitted.who or self._who_of(found, asked.client)
        run = self._run_of(found)
        return Caller(who, run, forward, record=True, trainable=admitted.trainable, key=admitted.key)

    @property
    def remembered(self) -> int:
        """How many names, credentials and sessions are remembered."""
        known = (self._who, self._run, self._readable)
        return len(self._watched) + sum(memory.cache_info().currsize for memory in known)

    def _who_of(self, found: dict[bytes, bytes], client: str) -> str:
        for name in _CREDENTIALS:
            if credential := found.get(name):
                return self._who(credential, "")
        return self._who(b"", client)

    def _run_of(self, found: dict[bytes, bytes]) -> str:
        for name in _SESSIONS:
            if session := found.get(name):
                return self._run(session)
        return ""


class _Watched(dict[bytes, bool]):
    """Whether a field of that name is looked at; names are few, and remembered."""

    def __missing__(self, name: bytes) -> bool:
        watched = name in _READ or name.startswith(_OURS)
        if len(self) < _REMEMBERED:
            self[name] = watched
        return watched


def _without(headers: Headers, drop: Sequence[bytes]) -> Headers:
    return [field for field in headers if not field[0].startswith(_OURS) and field[0] not in drop]


def _readable(accepted: bytes) -> bytes:
    """Leave only compression that the recorder can undo."""
    codings = [coding.strip() for coding in accepted.split(b",")]
    readable = [coding for coding in codings if coding.partition(b";")[0].strip().lower() in _READABLE]
    return accepted if len(readable) == len(codings) else b", ".join(readable) or b"identity"
