# Two commands on a fresh machine with Python 3.11 to 3.13 and make: `make train` and `make test`.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: help train test test-all bench lint format

help:
	@echo "make train     set up, then train the default MLP on scikit-learn's digits: no download"
	@echo "make test      set up, then the fast tests"
	@echo "make test-all  set up, then all tests"
	@echo "make bench     compare speed and memory with other loops, on real data: over an hour on 2 quiet cores"
	@echo "make lint      style, format and types"
	@echo "make format    mend style and format"

train: $(INSTALLED)
	$(VENV)/bin/python train.py data=digits

# TESTS="tests/models tests/data/test_imdb.py" names some of them.
test: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m "not slow" $(TESTS)

test-all: $(INSTALLED)
	$(VENV)/bin/python -m pytest $(TESTS)

# Keras takes part where KERAS_PYTHON names a Python that has keras and tensorflow.
bench: $(INSTALLED)
	$(VENV)/bin/python -m benchmarks

lint: $(INSTALLED)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "dlproj needs Python 3.11 to 3.13: make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	@touch $@
