# Everything happens in .venv, which the first command makes. pip's settings apply: on a machine
# without a GPU, an index of CPU builds of PyTorch in PIP_EXTRA_INDEX_URL saves gigabytes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8000
SEED ?= 1
# of an image: cuda or cpu
TORCH ?= cuda
# what builds it: docker, podman, buildah, ...
ENGINE ?= docker
BIN := .venv/bin

.PHONY: serve test lint fuzz peer bench bench-http evaluate bento image image-test lock

serve: .venv/http
	$(BIN)/midigpt-http --port $(PORT) $(ARGS)

test: .venv/test
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The Bento. MODEL=TAG packs a model of the store into it, to be served instead of the built-in one.
bento: .venv/http
	mkdir -p build
	cp bentofile.yaml build/bentofile.yaml
ifdef MODEL
	printf 'models: [{tag: "%s", alias: packed}]\n' '$(MODEL)' >> build/bentofile.yaml
endif
	$(BIN)/bentoml build --bentofile build/bentofile.yaml $(if $(MODEL),--label model=$(MODEL))

# Its image. BentoML finds our template nowhere but below the directory it is called in
# (bentoml/BentoML#5566), and it looks for it where temporary files are.
image: bento
	cd / && $(abspath $(BIN))/bentoml containerize midigpt:latest --backend $(ENGINE) \
		--image-tag midigpt:$(TORCH) --opt build-arg=TORCH=$(TORCH) $(IMAGE_ARGS)

# Builds the small one, runs it and asks it for music.
image-test: .venv/test
	$(MAKE) image TORCH=cpu
	ENGINE=$(ENGINE) $(BIN)/python -m pytest -m slow tests/deploy/test_image.py

# The newest packages that fit go into the Bento; cpu.txt is the same without CUDA.
lock: .venv/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --extra http --upgrade --quiet --no-header --no-annotate \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--output-file deploy/requirements/cuda.txt
	sed -E '/^(cuda-|triton=)/d; /^nvidia-/{/^nvidia-ml-py=/!d}; s/^(torch==.*)$$/\1+cpu/' \
		deploy/requirements/cuda.txt > deploy/requirements/cpu.txt

# Twenty minutes of requests that nobody would send.
fuzz: .venv/test
	$(BIN)/python -m pytest tests/fuzz -m e2e --hypothesis-profile fuzz --timeout 0 $(ARGS)

# Compares with the reference; CASE=generate-17 shows one of the cases that SEED draws.
peer: .venv/test .venv-peer/midigpt-0.4.2
	$(BIN)/python -m tests.peer.compare --seed $(SEED) $(if $(CASE),--case $(CASE))

# How well a checkpoint plays and obeys, on pieces that the composer of models/starter makes.
evaluate: .venv/test
	$(BIN)/python models/starter/evaluate.py $(ARGS)

# Our server and the reference's, in turns.
bench-http: .venv/test .venv-peer/midigpt-0.4.2
	$(BIN)/python -m benchmarks.bench_http $(ARGS)

# Our engine and the reference's on the same requests, in turns.
bench: .venv/test .venv-peer/midigpt-0.4.2
	$(BIN)/python -m benchmarks.compare $(ARGS)

.venv-peer/midigpt-%:
	test -x .venv-peer/bin/python || $(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --disable-pip-version-check \
		'torch>=2.9,<2.14' 'midigpt[inference,http]==$*'
	touch $@

.venv/http .venv/test: .venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@
