# make play    opens the generated world        make test    runs the tests
# make train   records, trains, ships           make lint    style, format, types
# make train-avatar   the same of the talking head
# make train-luanti   the same of the real voxel game
# make luanti  installs the real voxel game (Debian 12) for worldmodel/Luanti-v0
# Each sets up .venv first if it is missing or older than pyproject.toml or constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
# By its exact version and before anything else: a looser request may pull gigabytes of CUDA libraries.
TORCH := $(shell grep '^torch==' constraints.txt)

# The game with its data, a display without a screen, OpenGL in software, and a C compiler for envs/luanti/gate.c.
LUANTI := minetest xvfb libgl1-mesa-dri gcc libc6-dev
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

.PHONY: play test lint train train-avatar train-luanti luanti

play: .venv/runtime
	$(BIN)/python play.py $(ARGS)

test: .venv/dev
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

train: .venv/runtime
	PATH="$(CURDIR)/$(BIN):$$PATH" bash train.sh

train-avatar: .venv/runtime
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[avatar,speech]'
	PATH="$(CURDIR)/$(BIN):$$PATH" TASK=avatar bash train.sh

train-luanti: luanti
	PATH="$(CURDIR)/$(BIN):$$PATH" TASK=luanti bash train.sh

luanti: .venv/runtime
	@command -v apt-get >/dev/null || { echo 'make luanti is for Debian. Elsewhere, see docs/luanti.md.'; exit 1; }
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(LUANTI)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[luanti]'

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
