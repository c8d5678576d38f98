"""Timing says nothing about correctness, least of all on a shared machine."""

from __future__ import annotations

import os

from hypothesis import settings

# Before numpy is loaded, and for child processes too: on shared cores, threads of small matrix products
# wait for one another ten times longer than they work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
