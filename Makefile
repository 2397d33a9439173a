# Every target does its own set-up; nothing needs to be active. `make help` lists them.
#
# PYTHON   a command, a path or a version (3.12): which Python the environment is made of
# VENV     the folder of the environment
# ARGS     what to add to the command, as in `make test ARGS="-k seal -x"`
# ENGINE   what carries the demo's jobs, as in `make demo ENGINE=kafka STORE=postgres`; by default
# STORE    where it keeps them       the store's own, and an SQLite file. Their servers are started

VENV ?= .venv
PYTHON ?=
ARGS ?=
ENGINE ?=
STORE ?=
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes \
	--no-config --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml
BUILT_FROM := pyproject.toml scripts/setup $(wildcard src/onecopy/heap/*.c src/onecopy/heap/native/*.[ch])

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage check lint layers types format bench-all-jobs servers lock build clean

help: ## List the targets
	@sed -nE 's/^([a-zA-Z%-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/.ready-$(if $(ENGINE)$(STORE),dev,run) ## Start the gazetteer with four workers and one copy of its data
	@$(BIN)/python examples/gazetteer/demo.py $(ENGINE:%=--engine %) $(STORE:%=--store %) $(ARGS)

test: $(VENV)/.ready-dev ## Run the tests; ARGS=--cov shows what they cover in their own process
	$(BIN)/python -m pytest $(ARGS)

coverage: $(VENV)/.ready-dev ## Run the tests, and measure the processes that they start too
	$(BIN)/python -m pytest --cov --cov-config tests/coverage-of-processes.toml $(ARGS)

check: lint layers types ## All of lint, layers and types

lint: $(VENV)/.ready-dev ## Lint, and the form of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

layers: $(VENV)/.ready-dev ## Who imports whom
	$(BIN)/lint-imports

types: $(VENV)/.ready-dev ## Types, strictly
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.ready-dev ## Put the code into the form that `make check` wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

servers: $(VENV)/.ready-dev ## Run real servers to try things out, as in `make servers ARGS=redis`
	$(BIN)/python -m servers $(ARGS)

bench-jobs bench-engines: $(VENV)/.ready-bench

bench-all-jobs: $(VENV)/.ready-bench ## All benchmarks of jobs, one after the other, and their figures into the page
	set -e; for each in call accept jobs one_copy.jobs events webhooks chaos growth growth_on_servers report; do \
		$(BIN)/python -m benchmarks.$$each; done

bench-%: $(VENV)/.ready-dev ## Run one benchmark of benchmarks/, as in `make bench-sharing`
	$(BIN)/python -m benchmarks.$* $(ARGS)

lock: $(VENV)/.ready-dev ## Renew the locked requirements from pyproject.toml
	$(LOCK) --upgrade --all-extras --group dev --output-file requirements/dev.txt
	$(LOCK) --upgrade --extra standard --extra fastapi --group demo --constraints requirements/dev.txt \
		--output-file requirements/run.txt
	$(LOCK) --upgrade --all-extras --group bench --constraints requirements/dev.txt \
		--output-file requirements/bench.txt

build: $(VENV)/.ready-dev ## Build the source distribution and a wheel into dist/
	$(BIN)/python -m build --no-isolation $(ARGS)

clean: ## Remove what was built and the environment
	rm -rf build dist .pytest_cache* .ruff_cache .import_linter_cache .coverage* $(VENV)
	find src -name '*.so' -delete
	find . -name '__pycache__' -type d -prune -exec rm -rf {} +

$(VENV)/.ready-run: requirements/run.txt $(BUILT_FROM)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup run

$(VENV)/.ready-bench: requirements/bench.txt $(VENV)/.ready-dev
	@PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup bench

$(VENV)/.ready-dev: requirements/dev.txt $(BUILT_FROM)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup dev
