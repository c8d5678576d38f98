"""How many requests are in an engine, and how long they take: closed forms and one product form.

An engine that decodes is a processor-sharing queue whose speed depends on how many share it. Such a queue
has a product form that depends on the mean work alone (Cohen, "The multiple phase service network with
generalized processor sharing", Acta Informatica 12, 1979); `presence` is it, with arrivals in groups for
bursts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEGLIGIBLE = 1e-12
_MOST_STATES = 50_000


@dataclass(frozen=True, slots=True)
class Presence:
    """Distribution of the requests in an engine.

    Attributes:
        probability: Of 0, 1, 2, ... groups being there, shape ``(states,)``.
        group: Requests of one group: the variance over the mean of arrivals (1 for a Poisson stream).
    """

    probability: NDArray[np.float64]
    group: float

    @property
    def busy(self) -> float:
        """Share of the time that anything is there."""
        return float(1.0 - self.probability[0])

    @property
    def requests(self) -> NDArray[np.float64]:
        """Requests in each state, shape ``(states,)``."""
        return np.asarray(self.group * np.arange(len(self.probability)))

    @property
    def mean(self) -> float:
        """Mean number of requests."""
        return float(self.probability @ self.requests)

    def quantile(self, probability: float) -> int:
        """Smallest number of requests that is exceeded with at most ``1 - probability``."""
        return int(self.quantiles(np.array([probability]))[0])

    def quantiles(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return `quantile` of each."""
        cumulative = np.cumsum(self.probability)
        states = np.searchsorted(cumulative, probabilities - _NEGLIGIBLE)
        requests = self.group * np.minimum(states, len(cumulative) - 1)
        return np.asarray(np.ceil(requests - 1e-9).astype(np.int64))


def presence(
    rate: float, iterations: float, steps_s: NDArray[np.float64], *, group: float = 1.0
) -> Presence | None:
    """Work out how many requests are in an engine.

    Requests of one group go through the engine together, which is what a burst does. More than
    ``len(steps_s)`` of them wait, and those that run share the engine as if all took turns.

    Args:
        rate: Requests per second.
        iterations: Mean iterations of a request.
        steps_s: Seconds of one iteration with 1, 2, ... requests, shape ``(slots,)``.
        group: Requests that arrive together, at least 1.

    Returns:
        The distribution; None where the engine cannot keep up.
    """
    slots = len(steps_s)
    if rate <= 0.0:
        return Presence(np.ones(1), group)
    last = rate * iterations * float(steps_s[-1]) / slots
    if last >= 1.0 - 1e-9:
        return None
    full = math.ceil(slots / group)
    states = min(_MOST_STATES, full + math.ceil(math.log(_NEGLIGIBLE) / math.log(last)) + 1)
    running = np.minimum(group * np.arange(1, states + 1), slots)
    steps = np.interp(running, np.arange(1, slots + 1), steps_s)
    logs = np.concatenate(([0.0], np.cumsum(np.log(rate * iterations * steps / running))))
    weights = np.exp(logs - logs.max())
    return Presence(weights / weights.sum(), group)


def erlang_c(load: float, servers: int) -> float:
    """Return the probability that a request waits (M/M/c), by the recursion of Erlang B.

    Args:
        load: Arrival rate times mean service, in servers; at or above ``servers`` everyone waits.
        servers: At least 1.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def erlang_wait_s(rate: float, service_s: float, servers: int) -> float:
    """Return the mean wait, seconds, of M/M/c; infinite where it is overloaded."""
    load = rate * service_s
    return erlang_c(load, servers) * service_s / (servers - load) if load < servers else math.inf


def shared_response_s(rate: float, service_s: float) -> float:
    """Return the mean response, seconds, of M/G/1 with processor sharing; infinite where it is overloaded."""
    load = rate * service_s
    return service_s / (1 - load) if load < 1 else math.inf


def erlang_servers(rate: float, service_s: float, *, wait_s: float, probability: float) -> int:
    """Return the fewest servers of M/M/c with which a wait exceeds ``wait_s`` with at most ``probability``.

    P(wait > t) = C(c, a) exp(-(c - a) t / service), with C of Erlang and a the load in servers.

    Args:
        rate: Arrivals per second.
        service_s: Mean seconds of service.
        wait_s: The wait that is allowed.
        probability: How often it may be exceeded, above 0.
    """
    load = rate * service_s
    servers = max(1, math.floor(load) + 1)
    while erlang_c(load, servers) * math.exp(-(servers - load) * wait_s / service_s) > probability:
        servers += 1
    return servers
