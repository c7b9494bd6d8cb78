# Everything from a fresh clone: each target makes the environment it needs.

PYTHON := $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
HTML := .asv/html

.DEFAULT_GOAL := help
.PHONY: help venv demo test bench bench-compare bench-html peers reference wire ticks javascript lint docs clean

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

bench-compare: $(VENV)/.bench  ## Fail where kernels are slower, or bytes more, than in another commit: BASE=<commit>
	@test -n "$(BASE)" || { echo "Say which commit to compare with: make bench-compare BASE=main" >&2; exit 1; }
	$(BIN)/python -m benchmarks.compare $(ARGS) $(BASE)

bench-html: $(VENV)/.bench  ## Write what was measured so far as pages, by commit, to HTML=.asv/html
	cd benchmarks && ../$(BIN)/asv publish --html-dir $(abspath $(HTML)) $(ARGS)
	@echo "Open $(HTML)/index.html by a web server, such as: python -m http.server -d $(HTML)"

peers: $(VENV)/.peers  ## Measure other ECS libraries beside this one (ARGS="--write docs/benchmarks.md" writes it down)
	$(BIN)/python -m benchmarks.peers --install $(ARGS)

reference: venv  ## Measure Horizon's own scenario, each recipient checked (ARGS="--write docs/benchmarks.md" writes it down)
	$(BIN)/python -m benchmarks.reference $(ARGS)

wire: venv  ## Measure bytes and time of the wire beside Colyseus and plain formats (ARGS="--tracks ... --write docs/benchmarks.md")
	$(BIN)/python -m benchmarks.wire --install $(ARGS)

ticks: venv  ## Measure whole ticks, small to large, even and crowded (ARGS="--write docs/benchmarks.md" writes them down)
	$(BIN)/python -m benchmarks.ticks $(ARGS)

javascript: venv  ## Measure the JavaScript client under Node and in Chromium (ARGS="--write docs/benchmarks.md" writes it down)
	$(BIN)/python -m benchmarks.javascript $(ARGS)

lint: venv  ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --allow-untyped-defs --allow-incomplete-defs examples

docs: venv  ## Write the reference, docs/api, from the docstrings
	$(BIN)/python -m docs.make_api

clean:  ## Remove the environment and what tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .asv
