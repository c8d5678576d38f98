from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import pytest

from offramp.record import heap


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_freed_memory_goes_back_to_the_system() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    heap.give_back_heap()
    # Small ones are not mapped one by one, and the last one keeps those before it in the heap.
    blocks = [library.malloc(64 << 10) for _ in range(512)]
    for block in blocks:
        ctypes.memset(block, 1, 64 << 10)
    for block in blocks[:-1]:
        library.free(block)
    before = _resident()
    assert heap.give_back_heap()
    assert before - _resident() > 16 << 20
    library.free(blocks[-1])


def test_another_c_library_keeps_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_trim", lambda: None)
    assert not heap.give_back_heap()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
