# `make help` lists the targets. Only Python 3.11+, git and make are needed beforehand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test coverage lint types bench lock clean simulate mutants chaos

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# The run-time environment alone: what `make demo` needs.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.runtime ## Deploy a tenant with Terraform over JetStream, show it, dispose of it again
	@bash examples/demo/demo.sh

test: $(VENV)/.dev ## Pass the whole test suite
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(PYTEST_ARGS)

coverage: $(VENV)/.dev ## Check that unit tests reach every branch of the pure parts
	$(BIN)/python -m coverage run -m pytest -q tests/unit
	$(BIN)/python -m coverage report --show-missing --skip-covered --fail-under=100

simulate: $(VENV)/.dev ## Play N scenarios of engines and agents in simulated time (N=2000; SIMULATE_SEED=17 plays one)
	$(BIN)/python tests/simulation/simulate.py $(or $(N),2000)

mutants: $(VENV)/.dev ## Break the engine in ten ways and more; every one has to be noticed
	$(BIN)/python tests/simulation/mutants.py

lint: $(VENV)/.dev ## Style, import rules, Terraform formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev ## Types, strictly
	$(BIN)/mypy

chaos: $(VENV)/.dev ## Kill and freeze real processes for minutes (CHAOS_ARGS="--seconds 60 --seed 17 --orchestrations 200")
	$(BIN)/python tests/chaos/chaos.py $(CHAOS_ARGS)

bench: $(VENV)/.dev ## Measure the figures of docs/performance.md; writes bench.json
	$(BIN)/python tests/benchmarks/bench.py

lock: $(VENV)/.dev ## Renew the hashed lock files from pyproject.toml
	$(BIN)/python requirements/lock.py

clean: ## Remove the environment
	rm -rf $(VENV)
