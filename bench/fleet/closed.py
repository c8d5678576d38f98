"""The simulator beside closed forms, and how fast its light mode is."""

from __future__ import annotations

import time

import numpy as np

from offramp.plan.queueing import erlang_wait_s, shared_response_s
from offramp.simulate.queues import first_come_waits, shared_responses

REQUESTS = 1_000_000
LEAST_PER_SECOND = 100_000


def validation(requests: int = REQUESTS) -> bool:
    """Print errors against closed forms; whether all are within 5 %."""
    print(f"\nClosed forms, {requests:,} requests a row\n")
    print("| form | load | closed | simulated | error |\n|---|---|---|---|---|")
    worst = 0.0
    for servers, load in ((1, 0.5), (1, 0.8), (4, 0.7), (16, 0.85), (64, 0.9)):
        generator = np.random.default_rng(servers)
        at = np.cumsum(generator.exponential(1 / (load * servers), requests))
        mean = first_come_waits(at, generator.exponential(1.0, requests), servers).mean()
        worst = max(
            worst, _row(f"M/M/{servers} wait", load, erlang_wait_s(load * servers, 1.0, servers), mean)
        )
    for cv in (0.5, 1.0, 2.0):
        generator = np.random.default_rng(int(10 * cv))
        at = np.cumsum(generator.exponential(1 / 0.7, requests))
        mean = shared_responses(at, generator.gamma(1 / cv**2, cv**2, requests)).mean()
        worst = max(worst, _row(f"M/G/1-PS response, CV {cv:g}", 0.7, shared_response_s(0.7, 1.0), mean))
    print(f"\n{'PASS' if worst <= 0.05 else 'FAIL'}: worst error {worst:.2%}, at most 5 %")
    return worst <= 0.05


def light(requests: int = REQUESTS) -> bool:
    """Print the light mode's requests per CPU second; whether they reach the target."""
    generator = np.random.default_rng(0)
    at = np.cumsum(generator.exponential(1 / 700.0, requests))
    service = generator.exponential(1.0, requests)
    begun = time.process_time()
    first_come_waits(at, service, 800)
    rate = requests / (time.process_time() - begun)
    met = rate >= LEAST_PER_SECOND
    print(f"\n{'PASS' if met else 'FAIL'}: light mode {rate:,.0f} requests per CPU second on 800 servers,")
    print(f"at least {LEAST_PER_SECOND:,}")
    return met


def _row(name: str, load: float, closed: float, simulated: float) -> float:
    error = abs(simulated - closed) / closed
    print(f"| {name} | {load:g} | {closed:.4f} | {simulated:.4f} | {error:.2%} |")
    return error
