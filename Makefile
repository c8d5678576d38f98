# Every target sets itself up: a bare clone and Python 3.11 or later with venv are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp
# Threads that wait spin this long and no longer: without a limit they cost ten times on shared cores, without
# any spinning two threads are slower than one (measured: docs/lab-log.md).
export GOMP_SPINCOUNT := 50000
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo test check bench docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and by exact version: a range would take a CUDA build of several gigabytes.
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: setup
	@# Two training threads save a minute and a half on an idle machine and collapse on a busy one.
	OFFRAMP_TRAIN_KINDS=$${OFFRAMP_TRAIN_KINDS:-cache,template,classifier,extractive} \
		OFFRAMP_TRAIN_THREADS=$${OFFRAMP_TRAIN_THREADS:-$$(awk '{print ($$1 < 1) ? 2 : 1}' /proc/loadavg 2>/dev/null || echo 1)} \
		$(BIN)/offramp demo --out out

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check
	$(BIN)/pytest -q --cov --cov-report=term:skip-covered
	$(BIN)/python -m tests.architecture.coverage_floor

bench: setup
	for bench in bench/*.py; do $(BIN)/python $$bench || exit 1; done
	$(BIN)/python bench/gateway --quick
	$(BIN)/python bench/certify --quick
	$(BIN)/python bench/discover --sizes 10000
	$(BIN)/python bench/peers --splits 1

docs: setup
	$(BIN)/python -m offramp.cli.reference > docs/cli.md

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
