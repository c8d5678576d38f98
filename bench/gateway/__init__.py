"""The gateway beside its peers: CPU, latency, memory and what each does to the fields of a call.

Run ``python bench/gateway --quick`` (minutes) or ``python bench/gateway`` (the full comparison). The method
and its limits are in docs/benchmarks.md.
"""
