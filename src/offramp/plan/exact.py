"""The packing of `offramp.plan.pack`, solved by OR-Tools' CP-SAT, with a bound on the price.

It packs by the same rules, from the same ways, for one sum of duties, and starts from the greedy packing.
Engines over several devices stay where that put them, with all that shares their devices.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linprog

from offramp.core.errors import BadInput, MissingExtra
from offramp.plan.pack import Item, Room, cost_of
from offramp.plan.sizing import MOST_ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from offramp.plan.fleet import Stock
    from offramp.plan.pack import Load
    from offramp.plan.ways import Way

_MONEY = 10_000
"""Units of a USD."""
_PARTS = 10_000_000
"""Units of a device's memory, compute and duty; what rounding adds up to is allowed on top."""
_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Solved:
    """What was found.

    Attributes:
        rooms: Devices with engines.
        bound: USD an hour that no packing is cheaper than.
    """

    rooms: tuple[Room, ...]
    bound: float

    @property
    def gap(self) -> float:
        """How much dearer than the bound it is, as a share of the bound."""
        price = cost_of(self.rooms)[0]
        return max(0.0, price / self.bound - 1.0) if self.bound > 0.0 else 0.0


def solve(
    stocks: Sequence[Stock], loads: Sequence[Load], greedy: Sequence[Room], *, crowd: float, effort: float
) -> Solved:
    """Pack groups as cheaply as can be found.

    The effort is counted in steps of the solver and not by the clock: the same input gives the same plan.

    Args:
        stocks: Kinds of devices.
        loads: The groups, each with its ways for ``crowd``.
        greedy: A packing to start from; the result is never dearer.
        crowd: Sum of duties that one device takes.
        effort: Deterministic seconds of the solver, about as long as seconds of one core.

    Raises:
        MissingExtra: OR-Tools is not installed.
        BadInput: Devices are cut into instances, which this does not pack.
    """
    if any(stock.sharing.profiles for stock in stocks):
        raise BadInput("MIG instances are packed by the greedy solver only.", hint="Leave --solver away.")
    cp_model = _ortools()
    fixed = _fixed(loads, greedy)
    free = [number for number in range(len(loads)) if number not in fixed]
    kept = [room for room in greedy if any(item.group in fixed for item in room.items)]
    if not free:
        return Solved(tuple(greedy), cost_of(greedy)[0])
    problem = _Problem(cp_model, stocks, crowd, _affordable(stocks, greedy, kept, loads))
    for number in free:
        problem.add(number, loads[number])
    problem.finish()
    problem.hint([room for room in greedy if room not in kept])
    rooms, proven = problem.solve(effort)
    bound = max(proven, relaxed(stocks, [loads[number] for number in free], crowd))
    base = cost_of(kept)[0]
    if rooms is None or cost_of([*kept, *rooms]) >= cost_of(greedy):
        return Solved(tuple(greedy), min(base + bound, cost_of(greedy)[0]))
    return Solved((*kept, *rooms), base + bound)


def relaxed(stocks: Sequence[Stock], loads: Sequence[Load], crowd: float) -> float:
    """Return USD an hour that no packing is cheaper than, by the linear program of whole resources.

    Groups and devices may be divided at will: only the sums of memory, shares, duties and engines count.
    Where the solver has no time to prove anything, as with hundreds of groups, this is the better bound.
    """
    prices = [stock.device.price_per_hour for stock in stocks]
    columns = [(number, way) for number, load in enumerate(loads) for way in load.ways]
    kinds = {stock.device.name: place for place, stock in enumerate(stocks)}
    rows: list[NDArray[np.float64]] = []
    for place, stock in enumerate(stocks):
        for taken in (*_resources(stock, crowd), _one_of_most):
            row = np.zeros(len(columns) + len(stocks))
            for column, (_, way) in enumerate(columns):
                if kinds[way.kind] == place:
                    row[column] = way.replicas * (1.0 if way.alone else taken(way))
            row[len(columns) + place] = -1.0
            rows.append(row)
    whole = np.zeros((len(loads), len(columns) + len(stocks)))
    for column, (number, _) in enumerate(columns):
        whole[number, column] = 1.0
    counts = [(0.0, stock.count) for stock in stocks]
    found = linprog(
        [0.0] * len(columns) + prices,
        A_ub=np.array(rows),
        b_ub=np.zeros(len(rows)),
        A_eq=whole,
        b_eq=np.ones(len(loads)),
        bounds=[(0.0, 1.0)] * len(columns) + counts,
        method="highs",
    )
    return float(found.fun) if found.status == 0 else 0.0


def _one_of_most(_: Way) -> float:
    return 1.0 / MOST_ENGINES


def _resources(stock: Stock, crowd: float) -> list[Callable[[Way], float]]:
    """Return what an engine takes of each resource of a device, as shares."""
    found: list[Callable[[Way], float]] = [lambda way: way.memory / stock.memory]
    if stock.sharing.shares:
        found.append(lambda way: way.share)
    if not stock.sharing.bandwidth:
        found.append(lambda way: way.sized.duty / crowd)
    return found


def _ortools() -> Any:
    try:
        from ortools.sat.python import cp_model  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra(
            "OR-Tools is not installed.", hint="pip install 'offramp[plan]', or leave --solver away."
        ) from error
    return cp_model


def _fixed(loads: Sequence[Load], rooms: Sequence[Room]) -> set[int]:
    """Return the groups that stay: those over several devices, and all that share a device with such."""
    fixed = {number for number, load in enumerate(loads) if load.parallel > 1}
    while True:
        beside = {
            item.group
            for room in rooms
            if any(one.group in fixed for one in room.items)
            for item in room.items
        }
        if beside <= fixed:
            return fixed
        fixed |= beside


def _affordable(
    stocks: Sequence[Stock], greedy: Sequence[Room], kept: Sequence[Room], loads: Sequence[Load]
) -> dict[str, int]:
    """Return how many devices of a kind a packing that is no dearer can have."""
    budget = cost_of(greedy)[0] - cost_of(kept)[0]
    engines = sum(max(way.replicas for way in load.ways) for load in loads)
    found = {}
    for stock in stocks:
        kind, price = stock.device.name, stock.device.price_per_hour
        most = min(engines, math.floor(budget / price + 1e-6)) if price > 0.0 else engines
        taken = sum(room.stock.device.name == kind for room in kept)
        found[kind] = most if stock.count is None else min(most, stock.count - taken)
    return found


class _Problem:
    """The constraints: which way each group is run, and which devices its engines are on."""

    def __init__(self, cp_model: Any, stocks: Sequence[Stock], crowd: float, most: dict[str, int]) -> None:
        self._cp = cp_model
        self._model = cp_model.CpModel()
        self._stocks = {stock.device.name: stock for stock in stocks}
        self._crowd = crowd
        self._most = most
        self._opened = {
            kind: [self._model.new_bool_var(f"{kind}-{number}") for number in range(count)]
            for kind, count in most.items()
        }
        self._chosen: dict[tuple[int, int], Any] = {}
        self._on: dict[tuple[int, int, int], Any] = {}
        self._ways: dict[tuple[int, int], Way] = {}
        self._load: dict[tuple[str, int], list[tuple[Way, Any]]] = defaultdict(list)
        self._alone: dict[str, list[Any]] = defaultdict(list)

    def add(self, number: int, load: Load) -> None:
        """Add a group: one of its ways, with as many devices as that has engines."""
        chosen = []
        for position, way in enumerate(load.ways):
            picked = self._model.new_bool_var(f"way-{number}-{position}")
            chosen.append(picked)
            self._chosen[number, position] = picked
            self._ways[number, position] = way
            if way.alone:
                self._alone[way.kind].append(way.replicas * picked)
                continue
            places = []
            for device in range(self._most[way.kind]):
                placed = self._model.new_bool_var(f"on-{number}-{position}-{device}")
                self._on[number, position, device] = placed
                self._load[way.kind, device].append((way, placed))
                places.append(placed)
            self._model.add(sum(places) == way.replicas * picked)
        self._model.add_exactly_one(chosen)

    def finish(self) -> None:
        """Add what devices hold, how many there are, and what they cost."""
        for (kind, device), engines in self._load.items():
            opened = self._opened[kind][device]
            stock = self._stocks[kind]
            for taken in _resources(stock, self._crowd):
                self._model.add(
                    sum(math.ceil(_PARTS * taken(way) - 1e-6) * placed for way, placed in engines)
                    <= (_PARTS + MOST_ENGINES) * opened
                )
            self._model.add(sum(placed for _, placed in engines) <= MOST_ENGINES * opened)
        for kind, opened in self._opened.items():
            for first, second in pairwise(opened):
                self._model.add_implication(second, first)
            if self._most[kind]:
                self._model.add(sum(opened) + sum(self._alone[kind]) <= self._most[kind])
            else:
                for alone in self._alone[kind]:
                    self._model.add(alone == 0)
        self._model.minimize(
            sum(
                round(_MONEY * self._stocks[kind].device.price_per_hour)
                * (sum(opened) + sum(self._alone[kind]))
                for kind, opened in self._opened.items()
            )
        )

    def hint(self, rooms: Sequence[Room]) -> None:
        """Start from a packing."""
        used: dict[str, int] = defaultdict(int)
        values: dict[int, int] = {}
        for room in rooms:
            kind = room.stock.device.name
            device = used[kind]
            for item in room.items:
                position = next(
                    one for (group, one), way in self._ways.items() if group == item.group and way is item.way
                )
                values[self._chosen[item.group, position].index] = 1
                if not item.way.alone:
                    values[self._on[item.group, position, device].index] = 1
                    values[self._opened[kind][device].index] = 1
            used[kind] += any(not item.way.alone for item in room.items)
        every = (
            *self._chosen.values(),
            *self._on.values(),
            *(one for some in self._opened.values() for one in some),
        )
        for variable in every:
            self._model.add_hint(variable, values.get(variable.index, 0))

    def solve(self, effort: float) -> tuple[list[Room] | None, float]:
        """Return the packing, None where none was found, and the bound."""
        solver = self._cp.CpSolver()
        solver.parameters.max_deterministic_time = effort
        solver.parameters.num_workers = _WORKERS
        solver.parameters.interleave_search = True
        solver.parameters.random_seed = 0
        status = solver.solve(self._model)
        bound = max(0.0, solver.best_objective_bound / _MONEY)
        if status not in (self._cp.OPTIMAL, self._cp.FEASIBLE):
            return None, bound
        return self._rooms(solver), bound

    def _rooms(self, solver: Any) -> list[Room]:
        rooms: dict[tuple[str, int], Room] = {}
        alone: list[Room] = []
        replicas: dict[int, int] = defaultdict(int)
        for (number, position), way in self._ways.items():
            if way.alone and solver.value(self._chosen[number, position]):
                alone += [
                    Room(self._stocks[way.kind], self._crowd, [Item(number, replica, way)])
                    for replica in range(way.replicas)
                ]
        for (number, position, device), placed in self._on.items():
            if solver.value(placed):
                way = self._ways[number, position]
                room = rooms.setdefault((way.kind, device), Room(self._stocks[way.kind], self._crowd))
                room.put(Item(number, replicas[number], way))
                replicas[number] += 1
        return [*alone, *rooms.values()]
