# Everything sets itself up: a fresh machine needs Python 3.11 or newer and make, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .venv-peers/.installed

export DO_NOT_TRACK := 1
export HF_HUB_OFFLINE := 1
export TRANSFORMERS_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

DEMO := $(if $(wildcard demo.toml),--config demo.toml)

.PHONY: help setup run up down test test-all storm lint format bench bench-detection bench-review bench-safety bench-judge bench-embedding faults peers lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED)  ## make .venv with the locked packages

# torch first and by itself: its wheel and what it needs differ between machines with and without
# a GPU. All the rest is pinned by hash and installed without looking for anything further.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Tidegauge needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing torch (large, a few minutes on a slow line) ..."
	@$(BIN)/python -m pip install -qq torch==2.13.0
	@echo "Installing the locked packages ..."
	@$(BIN)/python -m pip install -qq --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check
	@touch $@

run: $(INSTALLED)  ## thirteen weeks of a demo shop through the real DAGs, and what was found
	@PATH="$(CURDIR)/$(BIN):$$PATH" tidegauge demo

up: $(INSTALLED)  ## Airflow with that history on http://127.0.0.1:8080
	@PATH="$(CURDIR)/$(BIN):$$PATH" tidegauge up $(DEMO)

down: $(INSTALLED)  ## stop it
	@PATH="$(CURDIR)/$(BIN):$$PATH" tidegauge down $(DEMO)

test: $(INSTALLED)  ## lint, types, floors and the test suite
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q

test-all: $(INSTALLED)  ## the suite with its long storms
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q -m "not storm"

storm: $(INSTALLED)  ## what needs a quiet machine: a live approval
	@$(BIN)/python -m pytest -q -m storm

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED)  ## memory and speed tables
	@$(BIN)/python -m tests.bench_memory
	@$(BIN)/python -m tests.bench_profiles

bench-review: $(INSTALLED)  ## what people's labels are worth, on HaluEval
	@$(BIN)/python -m tests.bench_review

bench-safety: $(INSTALLED) $(PEERS)  ## what is scanned how fast, and found, beside presidio
	@$(BIN)/python -m tests.bench_safety

bench-judge: $(INSTALLED)  ## the trained judge beside simpler ones, on HaluEval
	@$(BIN)/python -m tests.bench_judge

bench-embedding: $(INSTALLED)  ## texts to vectors, beside plain sentence-transformers
	@$(BIN)/python -m tests.bench_embedding

bench-detection: $(INSTALLED)  ## how small a change is found, and how often nothing is
	@$(BIN)/python -m tests.bench_detection
	@$(BIN)/python -m tests.bench_topics
	@$(BIN)/python -m tests.bench_inputs
	@$(BIN)/python -m tests.bench_identical

faults: $(INSTALLED)  ## a thousand kills of the relay: what was lost, what was doubled
	@$(BIN)/python -m tests.faults

# What the benches are compared with has other needs than we (numpy 1), so it lives by itself.
peers: $(PEERS)  ## the peers that the benches run beside us, in an environment of their own
$(PEERS): tests/peers.lock
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install -qq torch==2.13.0
	@.venv-peers/bin/python -m pip install -qq --no-deps --require-hashes -r tests/peers.lock
	@touch $@

lock:  ## resolve pyproject.toml anew into requirements.lock (needs uv)
	@override=$$(mktemp) && echo 'torch ; python_version < "0"' > $$override && \
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --override $$override --no-emit-index-url --no-header --no-annotate --quiet -o requirements.lock

clean:  ## remove what was made here: environment, data, reports
	@rm -rf $(VENV) .venv-peers data reports .airflow demo.toml
