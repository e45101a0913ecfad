# Everything happens in .venv, which the first command makes. pip's settings apply: on a machine
# without a GPU, an index of CPU builds of PyTorch in PIP_EXTRA_INDEX_URL saves gigabytes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
SEED ?= 1
BIN := .venv/bin

.PHONY: serve test lint peer bench

serve: .venv/http
	$(BIN)/midigpt-http --port $(PORT) $(ARGS)

test: .venv/test
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Compares with the reference; CASE=generate-17 shows one of the cases that SEED draws.
peer: .venv/test .venv-peer/midigpt-0.4.2
	$(BIN)/python -m tests.peer.compare --seed $(SEED) $(if $(CASE),--case $(CASE))

# Our engine and the reference's on the same requests, in turns.
bench: .venv/test .venv-peer/midigpt-0.4.2
	$(BIN)/python -m benchmarks.compare $(ARGS)

.venv-peer/midigpt-%:
	test -x .venv-peer/bin/python || $(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --disable-pip-version-check \
		'torch>=2.9,<2.14' 'midigpt[inference]==$*'
	touch $@

.venv/http .venv/test: .venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
