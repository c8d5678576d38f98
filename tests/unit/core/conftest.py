from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: time is measured by benchmarks, not here.
settings.register_profile("unhurried", deadline=None, max_examples=50)
settings.load_profile("unhurried")
