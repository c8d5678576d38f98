"""What an isolation probe runs: a victim that is measured, and neighbours that take all they can.

``python -m offramp.enforce.load KIND --device cpu|cuda``. It says ``ready``, works from a line ``go`` until a
line ``stop``, then says in JSON how many steps it made and how long they took; it ends with its input.
"""

from __future__ import annotations

import argparse
import importlib
import json
import select
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("decode", "compute", "bandwidth", "allocator")
MIB = 1 << 20
_WIDTH, _DEEP = 2048, 512
_CUDA_SCALE = 4
"""How much wider the matrices are on a GPU, so that one step fills it."""


def cpu_step(kind: str, *, limit: int) -> Callable[[], int]:
    """Return one step of work on the CPU; it returns the bytes that it held beyond its own arrays.

    Args:
        kind: ``decode`` reads a matrix once, as a decoding step reads weights; ``compute`` multiplies small
            matrices; ``bandwidth`` copies more than a cache holds; ``allocator`` takes memory and touches it.
        limit: Most bytes that the allocator takes.
    """
    numpy = importlib.import_module("numpy")
    if kind == "decode":
        weights, vector = numpy.ones((_WIDTH, _WIDTH), numpy.float32), numpy.ones(_WIDTH, numpy.float32)
        return lambda: _nothing(weights @ vector)
    if kind == "compute":
        square = numpy.full((_DEEP, _DEEP), 1.0 / _DEEP, numpy.float32)
        return lambda: _nothing(square @ square)
    if kind == "bandwidth":
        source = numpy.ones(64 * MIB, numpy.uint8)
        target = numpy.empty_like(source)

        def copy() -> int:
            numpy.copyto(target, source)
            return 0

        return copy

    def take() -> int:
        taken = numpy.empty(min(limit, 64 * MIB), numpy.uint8)
        taken[::4096] = 1
        return int(taken.nbytes)

    return take


def _nothing(result: object) -> int:
    """Drop a result that is worked for and not needed."""
    del result
    return 0


def cuda_step(kind: str, *, limit: int) -> Callable[[], int]:
    """Return one step of work on the first GPU that is visible; see `cpu_step`."""
    torch: Any = importlib.import_module("torch")
    width = _WIDTH * _CUDA_SCALE
    settings = {"device": "cuda", "dtype": torch.bfloat16}
    if kind == "allocator":
        return lambda: _take_all(torch, limit)
    work: Callable[[], Any]
    if kind == "decode":
        weights, vector = torch.ones(width, width, **settings), torch.ones(width, 8, **settings)
        work = partial(torch.mm, weights, vector)
    elif kind == "compute":
        square = torch.full((width, width), 1.0 / width, **settings)
        work = partial(torch.mm, square, square)
    else:
        source = torch.ones(512 * MIB, device="cuda", dtype=torch.uint8)
        work = partial(torch.empty_like(source).copy_, source)

    def step() -> int:
        work()
        torch.cuda.synchronize()
        return 0

    return step


def _take_all(torch: Any, limit: int) -> int:
    """Take device memory in pieces until it is refused or the limit is reached, and give it all back."""
    held: list[Any] = []
    piece = 256 * MIB
    try:
        while (len(held) + 1) * piece <= limit:
            held.append(torch.ones(piece, device="cuda", dtype=torch.uint8))
    except RuntimeError:
        # Out of memory: that is as far as it is let.
        pass
    taken = len(held) * piece
    held.clear()
    torch.cuda.empty_cache()
    return taken


def work(step: Callable[[], int], *, told: Callable[[], bool]) -> dict[str, float]:
    """Make steps until told to stop.

    Returns:
        ``steps``, ``seconds``, the median and 99th percentile of a step's seconds, the most bytes
        ``held``, and the processor's seconds that it took.
    """
    times: list[float] = []
    most = 0
    used = time.process_time()
    begun = last = time.perf_counter()
    while not told():
        most = max(most, step())
        now = time.perf_counter()
        times.append(now - last)
        last = now
    times = sorted(times) or [0.0]
    return {
        "steps": float(len(times)),
        "seconds": last - begun,
        "p50_s": times[len(times) // 2],
        "p99_s": times[min(len(times) - 1, round(0.99 * len(times)))],
        "held": float(most),
        "cpu_s": time.process_time() - used,
    }


def main(arguments: list[str], lines: BinaryIO | None = None) -> int:
    """Follow the lines on standard input, or on another stream that `select` can wait for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--limit", type=int, default=64 * MIB)
    flags = parser.parse_args(arguments)
    step = (cuda_step if flags.device == "cuda" else cpu_step)(flags.kind, limit=flags.limit)
    step()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    # Without a buffer: a line that a buffer holds is none that `select` sees.
    lines = lines or open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - standard input
    while lines.readline():
        done = work(step, told=lambda: bool(select.select([lines], [], [], 0)[0]))
        if not lines.readline():
            break
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
