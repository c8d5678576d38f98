"""One engine as the scheduler sees it: its slots, whose they are, and the adapters that it holds.

Slots. Each class has its reserve. Let ``owned`` be a class's calls that hold no lent slot: the sum over
classes of ``max(owned, reserve)`` never exceeds the slots. A call beyond that may only borrow, which takes a
short prediction and that no class waits for its own; once every loan that was out has ended, every reserve is
there.

Adapters. Calls for an adapter that is not there wait for room: for an adapter that nobody uses, or, when they
are first in line, for the least used one to be let run dry.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from offramp.schedule.account import Accounts
from offramp.schedule.request import CallClass
from offramp.schedule.rules import LOADS_SAVED

if TYPE_CHECKING:
    from offramp.schedule.rules import EngineSpec, Rules
    from offramp.schedule.waiting import Entry, Line

_KINDS = tuple(CallClass)
_Heap = list[tuple[int, float, int, int, "Line"]]
_ROUNDING = 1e-9


class Choice:
    """What an engine takes next.

    Attributes:
        entry: The request.
        account: Who pays.
        lent: Whether its slot is lent.
    """

    __slots__ = ("account", "entry", "lent")

    def __init__(self, entry: Entry, account: int, *, lent: bool) -> None:
        self.entry = entry
        self.account = account
        self.lent = lent


class Slots:
    """The state of one engine.

    Args:
        spec: What it has.
        rules: What classes are promised.

    Attributes:
        spec: What it has.
        free: Slots that nobody holds.
        lent: Slots that are lent.
        shut: Whether it gets no calls for the time being.
        accounts: Credit of the classes.
        draining: The adapter that gets no more calls, None where every one does.
        wanted: The adapter that room is made for while one is draining.
    """

    __slots__ = (
        "_absent",
        "_gone",
        "_idle",
        "_lend_s",
        "_owned",
        "_patience",
        "_ready",
        "_reserved",
        "_reserves",
        "_spoken",
        "_stamps",
        "_users",
        "accounts",
        "draining",
        "free",
        "lent",
        "shut",
        "spec",
        "wanted",
    )

    def __init__(self, spec: EngineSpec, rules: Rules) -> None:
        self.spec = spec
        self.free = spec.slots
        self.lent = 0
        self.shut = False
        self.wanted = ""
        weights = [rules.classes[kind].weight for kind in _KINDS]
        self.accounts = Accounts(weights, rules.quantum_s, rules.debt_s)
        self._reserves = [rules.classes[kind].reserve for kind in _KINDS]
        self._owned = [0] * len(_KINDS)
        self._lend_s = rules.lend_s
        self._users: dict[str, int] = {}
        self._gone: list[str] = []
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._take(spec)

    def change(self, spec: EngineSpec) -> None:
        """Be another engine of the same name: calls under way keep their slots, lines have to be noted anew.

        With fewer slots than calls under way ``free`` is below 0 until enough of them have ended.
        """
        self.free += spec.slots - self.spec.slots
        self._take(spec)
        while self._idle and len(self._users) > spec.loaded:
            adapter, _ = self._idle.popitem(last=False)
            del self._users[adapter]

    def _take(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.draining: str | None = None
        self._patience = LOADS_SAVED * spec.load_s
        self._reserved = [int(reserve * spec.slots + _ROUNDING) for reserve in self._reserves]
        self._spoken = sum(map(max, self._owned, self._reserved))
        self._ready: list[_Heap] = [[] for _ in _KINDS]
        self._absent: list[_Heap] = [[] for _ in _KINDS]
        self._stamps: dict[Line, int] = {}

    @property
    def adapters(self) -> tuple[str, ...]:
        """The adapters that it holds."""
        return tuple(self._users)

    def reserved(self, kind: CallClass) -> int:
        """Slots that are kept for a class."""
        return self._reserved[kind]

    def has(self, model: str) -> bool:
        """Whether a model needs no loading."""
        return model in self._users or model not in self.spec.adapters

    def note(self, line: Line) -> None:
        """Take note of a line whose first request is another one, or which can be served in another way."""
        head = line.head()
        if head is None:
            return
        model = line.model
        if model in self._users or model not in self.spec.adapters:
            if model == self.draining:
                return
            heap = self._ready[line.kind]
        else:
            heap = self._absent[line.kind]
        stamp = self._stamps.get(line, 0) + 1
        self._stamps[line] = stamp
        heappush(heap, (head[0], head[1], head[2], stamp, line))

    def choose(self) -> Choice | None:
        """Choose what goes into a free slot, None where nothing may."""
        if self.shut:
            return None
        owned, reserved, accounts = self._owned, self._reserved, self.accounts
        unspoken = self._spoken < self.spec.slots
        heads: list[tuple[int, Entry]] = []
        claims: list[int] = []
        own: list[int] = []
        for kind in range(len(_KINDS)):
            entry = self._head(kind)
            if entry is None:
                accounts.rest(kind)
                continue
            heads.append((kind, entry))
            if owned[kind] < reserved[kind]:
                claims.append(kind)
            elif unspoken:
                own.append(kind)
        # What is kept for a class is given back to it first; loans are for slots that nobody has a right to.
        own = claims or own
        able = own or [kind for kind, entry in heads if entry.longest_s <= self._lend_s]
        if not able:
            return None
        kind, account = accounts.choose(able, [kind for kind, _ in heads])
        entry = next(entry for number, entry in heads if number == kind)
        return Choice(entry, account, lent=not own)

    def take(self, choice: Choice) -> tuple[bool, str]:
        """Give a slot to what was chosen; returns whether its adapter is loaded, and which one goes."""
        entry, line = choice.entry, choice.entry.line
        kind = line.kind
        self.free -= 1
        if choice.lent:
            self.lent += 1
        else:
            if self._owned[kind] >= self._reserved[kind]:
                self._spoken += 1
            self._owned[kind] += 1
        entry.account = choice.account
        entry.lent = choice.lent
        self.accounts.charge(choice.account, entry.device_s)
        model = line.model
        entry.held = model in self.spec.adapters or model in self._users
        if not entry.held:
            return False, ""
        loads, evicted = (False, "") if model in self._users else (True, self._load(model))
        self._users[model] += 1
        self._idle.pop(model, None)
        return loads, evicted

    def give_back(self, entry: Entry) -> str | None:
        """Take a slot back from a request that ended; returns the adapter that ran dry and is gone."""
        kind = entry.line.kind
        self.free += 1
        if entry.lent:
            self.lent -= 1
        else:
            self._owned[kind] -= 1
            if self._owned[kind] >= self._reserved[kind]:
                self._spoken -= 1
        model = entry.line.model
        if not entry.held:
            return None
        users = self._users[model]
        self._users[model] = users - 1
        if users > 1:
            return None
        if model != self.draining and len(self._users) <= self.spec.loaded:
            self._idle[model] = None
            return None
        # It goes at once: its own calls, offered again, would keep it.
        del self._users[model]
        self._gone.append(model)
        if model == self.draining:
            self.draining = None
        return model

    def keep(self) -> str | None:
        """Stop letting an adapter run dry; returns it: it gets calls again."""
        kept, self.draining = self.draining, None
        return kept

    def _head(self, kind: int) -> Entry | None:
        """Return the request of a class that could go next; make room for the one that ought to."""
        ready = self._top(self._ready[kind], loaded=True)
        absent = self._top(self._absent[kind], loaded=False) if self._absent[kind] else None
        if absent is None:
            return None if ready is None else ready[3]
        if ready is not None and (absent[0], absent[1] + self._patience) >= (ready[0], ready[1]):
            return ready[3]
        if len(self._users) - len(self._idle) < self.spec.loaded:
            return absent[3]
        if self.draining is None:
            self.wanted = absent[3].line.model
            self.draining = min(self._users, key=self._users.__getitem__)
            # What goes is not offered again.
            ready = self._top(self._ready[kind], loaded=True)
        return None if ready is None else ready[3]

    def _top(self, heap: _Heap, *, loaded: bool) -> tuple[int, float, int, Entry] | None:
        stamps, users, adapters = self._stamps, self._users, self.spec.adapters
        while heap:
            step, _, order, stamp, line = heap[0]
            model = line.model
            here = model in users or model not in adapters
            if stamp != stamps[line] or here is not loaded or (loaded and model == self.draining):
                heappop(heap)
                continue
            head = line.head()
            if head is None:
                heappop(heap)
                continue
            if head[2] == order and head[0] == step:
                return head
            heapreplace(heap, (head[0], head[1], head[2], stamp, line))
        return None

    def _load(self, model: str) -> str:
        """Load an adapter; returns the one that goes for it, "" where there was room."""
        if len(self._users) >= self.spec.loaded:
            evicted, _ = self._idle.popitem(last=False)
            del self._users[evicted]
        else:
            evicted = self._gone.pop() if self._gone else ""
        self._users[model] = 0
        return evicted
