# Every target makes .venv and installs the pinned packages first, if that is not done yet or the pins changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
EXTRAS := lab,fast,geometry,cli,train,tensorboard,renderers,dev
# Two processes each starting a thread per core would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help lab test bench lint install
.DEFAULT_GOAL := help

help:
	@echo 'make lab     open JupyterLab on the first notebook (NOTEBOOK=path for another one)'
	@echo 'make test    run all tests that this machine can run; say what was skipped and why (ARGS=... for pytest)'
	@echo 'make bench   print the speed table'
	@echo 'make lint    ruff, mypy, and the pairing of the notebooks with their .py'
	@echo 'make install only make .venv and install (PYTHON=python3.12 for another interpreter)'

lab: $(STAMP)
	@$(BIN)/python -m labkit lab $(NOTEBOOK)

# The browser tests measure latencies, so they run alone.
test: $(STAMP)
	$(PYTEST) -n auto -m 'not browser' $(ARGS)
	$(PYTEST) -m browser $(ARGS)

bench: $(STAMP)
	@$(BIN)/python -m labkit bench

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q tests/test_pairing.py

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo 'labkit needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@echo 'compiling the kernels once'
	@$(BIN)/python -c 'from labkit.render.raster import warm_up; warm_up()'
	@touch $@
