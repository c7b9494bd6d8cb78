# Everything from a fresh clone: each target makes the environment it needs.

PYTHON := $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help venv demo test bench peers reference lint docs clean

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## Make the environment (.venv)

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, found $$($(PYTHON) -V)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

$(VENV)/.peers: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

demo: venv  ## Serve the demo world; open the printed address
	$(BIN)/python -m horizon_ecs demo $(ARGS)

test: venv  ## Run the tests (ARGS=... goes to pytest)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

bench: $(VENV)/.bench  ## Run the benchmarks on this commit
	cd benchmarks && ../$(BIN)/asv machine --yes && ../$(BIN)/asv run --show-stderr $(ARGS) 'HEAD^!'

peers: $(VENV)/.peers  ## Measure other ECS libraries beside this one (ARGS="--write docs/benchmarks.md" writes it down)
	$(BIN)/python -m benchmarks.peers --install $(ARGS)

reference: venv  ## Measure Horizon's own scenario, each recipient checked (ARGS="--write docs/benchmarks.md" writes it down)
	$(BIN)/python -m benchmarks.reference $(ARGS)

lint: venv  ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --allow-untyped-defs --allow-incomplete-defs examples

docs: venv  ## Write the reference, docs/api, from the docstrings
	$(BIN)/python -m docs.make_api

clean:  ## Remove the environment and what tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .asv
