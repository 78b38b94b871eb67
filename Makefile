# make play    opens the generated world        make test    runs the tests
# make train   records, trains, ships           make lint    style, format, types
# Each sets up .venv first if it is missing or older than pyproject.toml or constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
# By its exact version and before anything else: a looser request may pull gigabytes of CUDA libraries.
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: play test lint train

play: .venv/runtime
	$(BIN)/python play.py $(ARGS)

test: .venv/dev
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

train: .venv/runtime
	PATH="$(CURDIR)/$(BIN):$$PATH" bash train.sh $(ARGS)

.venv/runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or later is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@echo 'Setting up .venv: once, a few minutes.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/runtime
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@
