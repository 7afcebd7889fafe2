# Two commands are enough: `make run` and `make test`. Both set up everything from a bare Python 3.11.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install run test check format bench bench-learning bench-experiments bench-loop bench-bad-adapter test-vllm test-train verify lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "embed-service needs Python 3.11 or later; name one with PYTHON=")'
	$(PYTHON) -m venv .venv

.venv/.service: requirements/service.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --require-hashes -r requirements/service.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.service
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

install: .venv/.dev ## create .venv with everything for work on the service

run: .venv/.service ## serve on http://127.0.0.1:8080 with no GPU and no key
	@$(BIN)/embed-service serve

test: .venv/.dev ## the fast suite
	$(BIN)/python -m pytest tests

check: .venv/.dev ## lint, formatting and types; writes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.dev ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.dev ## speed, as ratios measured side by side in one run
	$(BIN)/python -m scripts.bench

bench-learning: .venv/.dev ## what learning is worth on simulated users, and whether it keeps its promises
	$(BIN)/python -m scripts.bench.learning

bench-loop: .venv/.dev ## the training loop for real: records, TRL, vLLM, scores; SCORER= and DATA= name a scorer
	scripts/setup_train.sh --cpu
	scripts/setup_vllm.sh --cpu --small-model
	$(BIN)/python -m scripts.bench.loop

bench-bad-adapter: .venv/.dev ## a bad adapter on a real vLLM: the gates stop it; forced past them, the canary takes it back
	scripts/setup_train.sh --cpu
	scripts/setup_vllm.sh --cpu --small-model
	$(BIN)/python -m scripts.bench.bad_adapter

bench-experiments: .venv/.dev ## how often an A/B test promotes by chance, and how many users it takes
	$(BIN)/python -m scripts.bench.experiments

test-vllm: .venv/.dev ## set up a real vLLM with a small model and two adapters, and prove the vllm backend on it
	scripts/setup_vllm.sh --cpu --small-model
	$(BIN)/python -m pytest -m "vllm and not slow" tests/real

test-train: .venv/.dev ## set up venv-train, train by SFT, DPO and KTO for real on a CPU, and serve the results
	scripts/setup_vllm.sh --cpu --small-model
	scripts/setup_train.sh --cpu
	$(BIN)/python -m pytest -m train tests/real --durations=5

verify: test check test-vllm test-train bench bench-learning bench-experiments ## everything; takes long
	$(BIN)/python -m pytest -m 'vllm and slow' tests/real
	$(BIN)/python -m tests.e2e.kill --rounds 200

lock: .venv/.dev ## pin requirements/*.txt again
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o requirements/dev.txt pyproject.toml requirements/dev.in
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -c requirements/dev.txt -o requirements/service.txt pyproject.toml requirements/service.in

clean: ## take away what was built; data and weights stay
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
