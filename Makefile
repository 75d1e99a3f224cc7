# Every target makes the virtual environment it needs. PYTHON is the interpreter to make it with, 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SPEC = pyproject.toml constraints.txt

.PHONY: help run test test-slow lint bench clean

help: ## these lines
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/run ## install sfnbench and run the main job: three optimizers on real handwritten digits
	$(BIN)/sfnbench run digits

test: $(VENV)/test ## install what the tests need and pass them (minutes)
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: $(VENV)/test ## the tests that take long, as every night: MNIST in full
	$(BIN)/python -m pytest -q -m slow --timeout=3600

lint: $(VENV)/dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench ## what is fast stays fast: timings side by side, with the peers
	$(BIN)/python -m pytest -q -s benchmarks --benchmark-disable-gc --timeout=3600

clean: ## forget the virtual environment
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: $(SPEC) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/test: $(SPEC) | $(BIN)/python
	$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/run

$(VENV)/dev: $(SPEC) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/run $(VENV)/test

$(VENV)/bench: $(SPEC) | $(BIN)/python
	$(INSTALL) -e '.[dev,peers]'
	@touch $@ $(VENV)/run $(VENV)/test $(VENV)/dev
